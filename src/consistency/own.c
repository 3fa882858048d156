/*-------------------------------------------------------------------------
 *
 * own.c
 *		What this session has last written.
 *
 * An answer that is no longer current may be served where max_stale allows it,
 * but never one that is older than the session's own last write.  So each
 * session remembers, for each stamp that it has pushed itself on, the number
 * of its latest push there.  An answer's proof says of each of its stamps which
 * pushes the answer has seen; that decides it exactly, without a clock.
 *
 * A push is remembered when it is made, shortly before the commit.  If the
 * transaction fails after that, or is prepared and rolled back later, an answer
 * is merely refused that could have been served.
 *
 * What is remembered is bounded.  When that is full, all is forgotten when the
 * transaction has committed, and the transaction ID that is next at that moment
 * takes its place: a snapshot sees all that was forgotten if a transaction has
 * ended before it that began after that.  Of a prepared transaction it is not
 * known when it commits, so if it is one that does not fit, the session gets
 * no such answer any more.
 *
 * Locking: none; all is the backend's own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "consistency/own.h"

#include "consistency/stamp.h"
#include "hit_path.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

/* The most stamps that a session remembers. */
#define MAX_STAMPS 1024

typedef struct OwnPush
{
	uint32		stamp;			/* hash key */
	uint64		push;			/* the number of the latest */
} OwnPush;

static HTAB *pushes = NULL;

/* This transaction has pushed itself on more stamps than fit. */
static bool overflowed = false;

/* Only a snapshot with a higher xmax sees what has been forgotten. */
static uint64 forgotten = 0;

/* Note that this session has pushed itself on a stamp, with that number. */
void
dc_own_wrote(uint32 stamp, uint64 push)
{
	OwnPush    *own;

	if (overflowed)
		return;
	if (pushes == NULL)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(uint32),
			.entrysize = sizeof(OwnPush),
			.hcxt = TopMemoryContext
		};

		pushes = hash_create("dashcache own writes", 64, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (hash_get_num_entries(pushes) >= MAX_STAMPS &&
		hash_search(pushes, &stamp, HASH_FIND, NULL) == NULL)
	{
		overflowed = true;
		return;
	}
	own = hash_search(pushes, &stamp, HASH_ENTER, NULL);
	own->push = push;
}

/*
 * This session has committed a prepared transaction, which another one may have
 * prepared: what it has written is not known, but that it is seen by a snapshot
 * that is later than this moment.
 */
void
dc_own_committed_prepared(void)
{
	forgotten = Max(forgotten, dc_xid_next());
}

/* Has an answer with this proof seen all that this session has written to it? */
bool
dc_own_seen(const DcProof *proof, const DcDependencies *dependencies)
{
	DcViews		views;
	DcStampView view;

	if (proof->snapshot_xmax <= forgotten)
		return false;
	if (pushes == NULL)
		return true;

	dc_views_begin(&views, proof, dependencies);
	while (dc_views_next(&views, &view))
	{
		OwnPush    *own = hash_search(pushes, &view.stamp, HASH_FIND, NULL);

		if (own == NULL || own->push < view.prefix)
			continue;
		if (own->push - view.prefix >= DC_STAMP_RING ||
			(view.later & (1 << (own->push - view.prefix))) == 0)
			return false;
	}
	return dc_views_were_right(&views);
}

/* The end of the top-level transaction. */
DC_HIT_PATH void
dc_own_at_xact(XactEvent event)
{
	if (!overflowed)
		return;
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		forgotten = event == XACT_EVENT_PREPARE ? PG_UINT64_MAX :
			Max(forgotten, dc_xid_next());
		hash_destroy(pushes);
		pushes = NULL;
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE ||
		event == XACT_EVENT_ABORT)
		overflowed = false;
}
