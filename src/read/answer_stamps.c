/*-------------------------------------------------------------------------
 *
 * answer_stamps.c
 *		The stamps that an answer depends on.
 *
 * Each thing that a widget's query reads has a stamp for every tenant, and, if
 * it is watched by tenant, one for this tenant.  The widget's definition has
 * one, too.  Their order is that of the views in a proof.
 *
 * A purge of a dashboard has a stamp that is in no proof.  It removes entries,
 * and must also stop those that are being computed from what was there before
 * it.  So it announces itself like a writer, at once, and nothing is stored
 * from a snapshot that does not see its end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/answer_stamps.h"

#include "changes.h"
#include "consistency/stamp.h"

#include "access/transam.h"
#include "access/xact.h"
#include "common/hashfn.h"

/* Stands for "purged" where stamps are for what is watched. */
#define PURGE_WATCH UINT64CONST(0x70757267652d6463)

/* Stands for a widget's definition, likewise. */
#define DEFINITION_WATCH UINT64CONST(0x646566696e652d64)

/*
 * The stamp on which a transaction announces that it changes a widget's
 * definition.  Between the moment at which its commit is visible and that at
 * which other sessions are told to read the definition again, this tells them.
 */
uint32
dc_definition_stamp(uint32 widget)
{
	return dc_stamp_of_all(hash_combine64(DEFINITION_WATCH, widget));
}

static uint32
tenant_hash(DcWatch *watch, Datum tenant)
{
	return DatumGetUInt32(FunctionCall1Coll(&watch->tenant_hash, watch->collation,
											tenant));
}

static void
depend(DcDependencies *dependencies, uint32 key, int32 hash)
{
	DcDependency *dependency = &dependencies->list[dependencies->n++];

	dependency->key = key;
	dependency->hash = hash;
}

/*
 * What a widget's answers depend on: at most two stamps for each watch, and one.
 * Also returns the hashes of the tenant by which its own are found.
 */
DcDependencies *
dc_answer_dependencies(DcWidget *widget, Datum tenant, uint32 **hashes)
{
	DcDependencies *dependencies =
	palloc0(DC_DEPENDENCIES_SIZE(2 * widget->nwatches + 1));
	int		   *places = palloc(sizeof(int) * Max(widget->nwatches, 1));

	*hashes = palloc(sizeof(uint32) * Max(widget->nwatches, 1));
	for (int i = 0; i < widget->nwatches; i++)
	{
		DcWatch    *watch = &widget->watches[i];

		depend(dependencies, dc_stamp_of_all(watch->hash), -1);
		if (!watch->keyed)
			continue;
		if (watch->same_hash == i)
		{
			places[i] = dependencies->nhashes++;
			(*hashes)[places[i]] = tenant_hash(watch, tenant);
		}
		depend(dependencies, dc_stamp_key(watch->hash), places[watch->same_hash]);
	}
	depend(dependencies, dc_definition_stamp(widget->id), -1);
	pfree(places);
	return dependencies;
}

/* Tell the journal which change has made an entry stale. */
void
dc_answer_changed(DcWidget *widget, Datum tenant, const DcCulprit *culprit)
{
	int			n = 0;

	dc_stats_add(widget->stats, DC_COUNT_CHANGES, 1);
	for (int i = 0; i < widget->nwatches; i++)
	{
		DcWatch    *watch = &widget->watches[i];

		if (culprit->view == n++)
			dc_changes_count_entry(culprit->xid, watch->relid, true, 0);
		if (watch->keyed && culprit->view == n++)
			dc_changes_count_entry(culprit->xid, watch->relid, false,
								   tenant_hash(watch, tenant));
	}
}

static uint32
purge_stamp(const char *dashboard)
{
	return dc_stamp_of_tenant(PURGE_WATCH,
							  hash_bytes((const unsigned char *) dashboard,
										 strlen(dashboard)));
}

/* Announce a purge of a dashboard. */
void
dc_purge_announce(const char *dashboard)
{
	dc_stamp_push(purge_stamp(dashboard),
				  U64FromFullTransactionId(GetTopFullTransactionId()));
}

/* Does a snapshot see the end of all purges of a dashboard? */
bool
dc_purges_seen(const char *dashboard, const DcSnapshot *snapshot)
{
	return dc_stamp_all_seen(purge_stamp(dashboard), snapshot);
}
