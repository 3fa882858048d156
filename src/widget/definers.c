/*-------------------------------------------------------------------------
 *
 * definers.c
 *		Who changes definitions, and who has to hear of it in time.
 *
 * A session reads the definitions again when the invalidation message comes that
 * whoever changes them sends.  It is sent a moment after the commit has become
 * visible.  A session that takes its snapshot in that moment sees the change, and
 * would still go by what it has read before.  Whoever reads a table has no such
 * moment, since the lock that it takes is released by the writer after the message.
 * A hit takes no lock.
 *
 * So who changes definitions announces itself on a stamp before the commit, like any
 * writer.  Who finds that there was a push on any stamp for every tenant looks at
 * that one, and waits for those whose transaction has ended to have released their
 * locks.  That is seldom, and never long.
 *
 * Locking: waits for a transaction that has ended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/definers.h"

#include "hit_path.h"

#include "access/transam.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"

/* Stands for the definitions of this database where stamps are for what is watched. */
#define DEFINERS_WATCH UINT64CONST(0x646566696e657273)

DC_HIT_DATA uint64 dc_definers_heard = PG_UINT64_MAX;

/* Of the stamp's pushes those that this session has heard of. */
static uint64 heard_of = 0;

/* Has this transaction changed a definition? */
static bool is_definer = false;

/* The current transaction changes definitions, or has just done so. */
void
dc_definers_announce(void)
{
	is_definer = true;
}

/* Announce the transaction before its commit, also if what it did was undone. */
DC_HIT_PATH void
dc_definers_at_xact(XactEvent event)
{
	if (!is_definer)
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		if (dc_preloaded)
			dc_stamp_push(dc_stamp_of_all(DEFINERS_WATCH),
						  U64FromFullTransactionId(GetTopFullTransactionId()));
	}
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
			 event == XACT_EVENT_PREPARE)
		is_definer = false;
}

/*
 * Has this definer's message been sent, if its commit was visible before?  Waits for
 * it.  False: it has not ended, so nobody has seen its commit yet.
 */
static bool
await(uint64 xid)
{
	if (dc_xid_running(xid))
		return false;
	/* its 32 bits may mean another by now */
	if (xid + PG_INT32_MAX >= dc_xid_next())
		XactLockTableWait((TransactionId) xid, NULL, NULL, XLTW_None);
	return true;
}

/* Wait for the messages of those whose commit is visible, and hear them. */
void
dc_definers_await(void)
{
	uint64		pushes = dc_stamp_pushes_of_all();
	uint32		number = dc_stamp_of_all(DEFINERS_WATCH);
	bool		all = true;
	DcStamp		stamp;

	/* whoever comes from now on will be found not to be heard of */
	pg_read_barrier();
	if (dc_stamp_version(number) != heard_of)
	{
		uint64		first;

		dc_stamp_read(number, &stamp);
		first = stamp.version > DC_STAMP_RING ? stamp.version - DC_STAMP_RING : 0;
		for (uint64 push = Max(first, heard_of); push < stamp.version; push++)
		{
			if (!await(DC_WRITER_XID(stamp.ring[push % DC_STAMP_RING])))
				all = false;
		}
		/* of those that have left the ring the newest of either kind is known */
		if (first > heard_of)
		{
			if (stamp.ended != 0)
				(void) await(stamp.ended);
			if (stamp.unsettled != 0 && !await(stamp.unsettled))
				all = false;
		}
		if (all)
			heard_of = stamp.version;
		AcceptInvalidationMessages();
	}
	if (all)
		dc_definers_heard = pushes;
}
