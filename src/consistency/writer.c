/*-------------------------------------------------------------------------
 *
 * writer.c
 *		What this transaction has changed, and its announcement at commit.
 *
 * The row triggers collect touches, (source, tenant) pairs, in a set that is
 * private to the backend.  When the transaction is about to commit or to be
 * prepared, the set is turned into stamps, and the transaction pushes itself
 * on each of them.  That happens before the commit can be visible to anyone;
 * readers go on using what they have until it is, because their snapshots do
 * not see the writer yet (validity.c).  After an abort nothing is left to do.
 *
 * A prepared transaction has pushed itself at its PREPARE.  It is invisible to
 * every snapshot until somebody commits it, so COMMIT PREPARED needs nothing.
 *
 * The set is bounded.  A transaction that touches more tenants than it holds
 * touches every tenant of the sources concerned instead.
 *
 * Rolling back to a savepoint takes back the touches added since; those that
 * were merely extended stay as they are, at the price of a needless miss.
 *
 * Locking: the set is the backend's own.  Announcing takes the spinlock of
 * one stamp at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "consistency/writer.h"

#include "changes.h"
#include "consistency/own.h"
#include "consistency/stamp.h"
#include "demand.h"
#include "hit_path.h"
#include "mix.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The most tenants that one transaction keeps apart, over all sources. */
#define MAX_TOUCHES 4096

/* Of these, so many are told in the journal. */
#define MAX_TOLD 64

/*
 * The set.  "touches" is in the order of addition, so that what a
 * subtransaction has added is at the end; "index" is an open-addressed table
 * of positions in it, plus one, by DcTouch.id.
 */
typedef struct Writer
{
	MemoryContext context;
	DcWriterSource *sources;
	uint32		nsources;
	List	   *written;		/* OIDs of relations written to */
	DcTouch    *touches;
	int			ntouches;
	int			capacity;
	uint16	   *index;
	uint32		index_mask;
	int			ntold;
	bool		announced;
} Writer;

static Writer *writer = NULL;

static void announce_touch(const DcTouch *touch, uint64 xid);
static void announce_every_tenant(const DcWriterSource *source, uint64 xid);

static Writer *
get_writer(void)
{
	if (writer == NULL)
	{
		MemoryContext context =
		AllocSetContextCreate(TopTransactionContext, "dashcache writer",
							  ALLOCSET_SMALL_SIZES);
		Writer	   *made = MemoryContextAllocZero(context, sizeof(Writer));

		made->context = context;
		made->capacity = 16;
		made->touches = MemoryContextAlloc(context,
										   sizeof(DcTouch) * made->capacity);
		made->index_mask = 63;
		made->index = MemoryContextAllocZero(context,
											 sizeof(uint16) * (made->index_mask + 1));
		writer = made;
	}
	return writer;
}

/*
 * This transaction's record for a source.  "generation" tells one reading of
 * the source's watches from another: should they be read again in the middle
 * of a transaction, what was noted under the old reading stays valid.
 */
DcWriterSource *
dc_writer_source(Oid relid, uint64 generation,
				 int nwatches, const uint64 *watches,
				 uint64 moving, int move_rounds)
{
	Writer	   *w = get_writer();
	DcWriterSource *source;

	for (source = w->sources; source != NULL; source = source->next)
	{
		if (source->relid == relid && source->generation == generation)
			return source;
	}

	source = MemoryContextAllocZero(w->context, sizeof(DcWriterSource));
	source->relid = relid;
	source->number = ++w->nsources;
	source->generation = generation;
	source->nwatches = nwatches;
	source->moving = moving;
	source->move_marks = DC_WRITER_MOVE(move_rounds);
	source->watches = MemoryContextAlloc(w->context,
										 sizeof(uint64) * Max(nwatches, 1));
	memcpy(source->watches, watches, sizeof(uint64) * nwatches);
	source->next = w->sources;
	w->sources = source;
	return source;
}

static uint32
index_slot(const Writer *w, uint64 id)
{
	uint32		slot = (uint32) dc_mix64(id) & w->index_mask;

	while (w->index[slot] != 0 && w->touches[w->index[slot] - 1].id != id)
		slot = (slot + 1) & w->index_mask;
	return slot;
}

static void
rebuild_index(Writer *w)
{
	memset(w->index, 0, sizeof(uint16) * (w->index_mask + 1));
	for (int i = 0; i < w->ntouches; i++)
		w->index[index_slot(w, w->touches[i].id)] = i + 1;
}

static void
grow(Writer *w)
{
	uint32		size = (w->index_mask + 1) * 4;
	uint16	   *index;

	w->touches = repalloc(w->touches, sizeof(DcTouch) * w->capacity * 4);
	w->capacity *= 4;

	index = MemoryContextAlloc(w->context, sizeof(uint16) * size);
	pfree(w->index);
	w->index = index;
	w->index_mask = size - 1;
	rebuild_index(w);
}

/* The part of dc_writer_touch() that has to look, and may allocate. */
DcTouch *
dc_writer_touch_slow(DcWriterSource *source, uint32 tenant_hash,
					 uint64 watches, uint8 operation)
{
	Writer	   *w = get_writer();
	uint64		id;
	uint32		slot;
	DcTouch    *touch;

	id = ((uint64) source->number << 32) | tenant_hash;
	slot = index_slot(w, id);
	if (w->index[slot] != 0)
	{
		touch = &w->touches[w->index[slot] - 1];
		source->last_hash = tenant_hash;
		source->last_operation = operation;
		touch->operations |= operation;
		touch->watches |= watches;
		source->last_watches = touch->watches;
		if (w->announced)
			announce_touch(touch, U64FromFullTransactionId(GetTopFullTransactionId()));
		return NULL;
	}

	if (w->ntouches >= MAX_TOUCHES)
	{
		dc_writer_touch_all(source, watches, operation, false);
		return NULL;
	}
	if (w->ntouches == w->capacity)
	{
		grow(w);
		slot = index_slot(w, id);
	}

	touch = &w->touches[w->ntouches++];
	touch->id = id;
	touch->source = source;
	touch->tenant_hash = tenant_hash;
	touch->level = GetCurrentTransactionNestLevel();
	touch->watches = watches;
	touch->operations = operation;
	touch->tenant = NULL;
	w->index[slot] = w->ntouches;

	source->last_hash = tenant_hash;
	source->last_watches = watches;
	source->last_operation = operation;

	if (w->announced)
		announce_touch(touch, U64FromFullTransactionId(GetTopFullTransactionId()));
	return touch;
}

/*
 * Note that this transaction touches every tenant of the given watches.  With
 * "unversioned" the change will be seen by older snapshots, too.
 */
void
dc_writer_touch_all(DcWriterSource *source, uint64 watches,
					uint8 operation, bool unversioned)
{
	Writer	   *w = get_writer();

	source->every_tenant |= watches;
	source->every_tenant_operations |= operation;
	source->unversioned |= unversioned;
	if (w->announced)
		announce_every_tenant(source,
							  U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* Should a new touch be given its tenant's text? */
bool
dc_writer_wants_tenant(void)
{
	return writer->ntold < MAX_TOLD;
}

/* Keep a tenant's text, clipped, for the journal. */
char *
dc_writer_keep_text(const char *text)
{
	writer->ntold++;
	return MemoryContextStrdup(writer->context, text);
}

/*
 * Note that a statement of this transaction writes to a relation, which may be
 * a parent or a partition of the one that a widget reads.
 */
void
dc_writer_writes(Oid relid)
{
	Writer	   *w = get_writer();
	MemoryContext old;

	if (list_member_oid(w->written, relid))
		return;
	old = MemoryContextSwitchTo(w->context);
	w->written = lappend_oid(w->written, relid);
	MemoryContextSwitchTo(old);
}

/* Has this transaction begun to write to the relation? */
bool
dc_writer_wrote(Oid relid)
{
	return writer != NULL && list_member_oid(writer->written, relid);
}

static void
tell_journal(const DcWriterSource *source, uint64 xid, uint8 operations,
			 bool every_tenant, uint32 tenant_hash, const char *tenant)
{
	DcChange	change;

	memset(&change, 0, sizeof(change));
	change.at = GetCurrentTimestamp();
	change.xid = xid;
	change.database = MyDatabaseId;
	change.source = source->relid;
	change.every_tenant = every_tenant;
	change.tenant_hash = tenant_hash;
	change.operations = operations;
	if (tenant != NULL)
		strlcpy(change.tenant, tenant, sizeof(change.tenant));
	dc_changes_add(&change);

	if (message_level_is_interesting(DEBUG1))
	{
		/* who writes a row may not be one who may know whose it is */
		bool		hidden = !every_tenant &&
		!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);

		ereport(DEBUG1,
				(errmsg_internal("dashcache: transaction %llu invalidates tenant %s of source \"%s\"",
								 (unsigned long long) xid,
								 every_tenant ? "(every)" : hidden ? "(hidden)" : tenant,
								 get_rel_name(source->relid)),
				 hidden ? errdetail_log("The tenant is %s.", tenant) : 0));
	}
}

/* Push this transaction on a stamp, and remember that for this session. */
static void
push(uint32 stamp, uint64 writer_and_marks)
{
	dc_own_wrote(stamp, dc_stamp_push(stamp, writer_and_marks));
}

static void
announce_touch(const DcTouch *touch, uint64 xid)
{
	const DcWriterSource *source = touch->source;
	uint64		watches = touch->watches & ~source->every_tenant;

	for (int i = 0; i < source->nwatches && watches != 0; i++)
	{
		uint64		bit = UINT64CONST(1) << Min(i, DC_WRITER_MAX_WATCHES - 1);

		if (watches & bit)
			push(dc_stamp_of_tenant(source->watches[i], touch->tenant_hash),
				 xid | (source->moving & bit ? source->move_marks : 0));
	}
	if ((watches & ~source->moving) != 0 && touch->tenant != NULL)
		tell_journal(source, xid, touch->operations, false,
					 touch->tenant_hash, touch->tenant);
}

static void
announce_every_tenant(const DcWriterSource *source, uint64 xid)
{
	for (int i = 0; i < source->nwatches; i++)
	{
		uint64		bit = UINT64CONST(1) << Min(i, DC_WRITER_MAX_WATCHES - 1);

		if (source->every_tenant & bit)
			push(dc_stamp_of_all(source->watches[i]),
				 xid | (source->unversioned ? DC_WRITER_UNVERSIONED : 0) |
				 (source->moving & bit ? source->move_marks : 0));
	}
	tell_journal(source, xid, source->every_tenant_operations, true, 0, NULL);
}

/*
 * Push this transaction on the stamps of all it has touched.  Anything that
 * another pre-commit callback touches later is pushed as it is touched.
 */
static void
announce(void)
{
	uint64		xid;
	bool		any = writer->ntouches > 0;

	for (DcWriterSource *source = writer->sources; source; source = source->next)
		any |= source->every_tenant != 0;
	if (!any)
		return;

	xid = U64FromFullTransactionId(GetTopFullTransactionId());
	for (int i = 0; i < writer->ntouches; i++)
		announce_touch(&writer->touches[i], xid);
	for (DcWriterSource *source = writer->sources; source; source = source->next)
	{
		if (source->every_tenant != 0)
			announce_every_tenant(source, xid);
	}
	writer->announced = true;
}

/* The steps of the top-level transaction's end. */
DC_HIT_PATH void
dc_writer_at_xact(XactEvent event)
{
	if (writer == NULL)
		return;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			announce();
			break;
		case XACT_EVENT_COMMIT:
			if (writer->announced)
				dc_demand_changes();
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* its memory goes with TopTransactionContext */
			writer = NULL;
			break;
		default:
			break;
	}
}

/* The end of a subtransaction. */
void
dc_writer_at_subxact(SubXactEvent event)
{
	int			level;

	if (writer == NULL)
		return;

	level = GetCurrentTransactionNestLevel();
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = writer->ntouches - 1;
			 i >= 0 && writer->touches[i].level >= level; i--)
			writer->touches[i].level = level - 1;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		int			kept = writer->ntouches;

		while (kept > 0 && writer->touches[kept - 1].level >= level)
			kept--;
		if (kept < writer->ntouches)
		{
			writer->ntouches = kept;
			rebuild_index(writer);
		}
		for (DcWriterSource *source = writer->sources; source; source = source->next)
		{
			source->last_hash = 0;
			source->last_watches = 0;
		}
	}
}
