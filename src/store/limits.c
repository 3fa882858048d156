/*-------------------------------------------------------------------------
 *
 * limits.c
 *		What one answer, one tenant and one dashboard may take.
 *
 * An answer that is too large by itself is not stored.  A tenant, or a
 * dashboard, that would hold more than its limit gives way to itself, whatever
 * room there is otherwise: its own entries are evicted, found by chains.c.
 *
 * All that happens is counted, and each of the limits is said in the log, once
 * a minute at most.
 *
 * Locking: partitions, one at a time; nothing is held in between, so sessions
 * that store at once may together go beyond a limit by what each of them stores.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/store_internal.h"

#include "guc.h"
#include "stats.h"

#include "utils/timestamp.h"

/* So many searches in a row may find nothing to evict. */
#define SEARCHES 4

/* Count what has happened, and say it. */
void
dc_limit_reached(DcStoreEvent event)
{
	static const struct
	{
		const char *message;
		const char *hint;
	}			texts[DC_STORE_EVENTS] = {
		[DC_STORE_TENANT_EVICTED] = {
			"dashcache evicts entries of a tenant that has reached dashcache.tenant_memory_limit",
			"The view dashcache_entries tells which tenants have many entries."
		},
		[DC_STORE_DASHBOARD_EVICTED] = {
			"dashcache evicts entries of a dashboard that has reached its memory_limit",
			"See dashcache_configure(memory_limit => ...), and dashcache_stats."
		},
		[DC_STORE_TOO_LARGE] = {
			"dashcache does not keep an answer that is larger than dashcache.max_answer",
			NULL
		},
		[DC_STORE_TENANT_REFUSED] = {
			"dashcache does not keep an answer that is larger than dashcache.tenant_memory_limit allows",
			NULL
		},
		[DC_STORE_DASHBOARD_REFUSED] = {
			"dashcache does not keep an answer for which its dashboard's memory_limit leaves no room",
			NULL
		},
		[DC_STORE_NO_MEMORY] = {
			"dashcache does not keep an answer for which no room could be made",
			"Consider increasing dashcache.memory."
		}
	};
	TimestampTz now = GetCurrentTimestamp();
	uint64		said = pg_atomic_read_u64(&dc_store->said_at[event]);

	/* should the clock have been put back, that is no reason to be silent */
	if (texts[event].message == NULL ||
		(now >= (TimestampTz) said && now - (TimestampTz) said < USECS_PER_MINUTE) ||
		!pg_atomic_compare_exchange_u64(&dc_store->said_at[event], &said, (uint64) now))
		return;
	ereport(LOG,
			(errmsg("%s", texts[event].message),
			 errdetail("It is said once a minute at most; dashcache_memory counts."),
			 texts[event].hint != NULL ? errhint("%s", texts[event].hint) : 0));
}

/* Evict one entry of a tenant or a widget; false: none was found. */
static bool
evict_own(DcChainKind kind, Oid database, uint32 id, DcStoreEvent event)
{
	for (int i = 0; i < SEARCHES; i++)
	{
		uint32		hash;
		DcRef		ref = dc_chain_victim(kind, database, id, &hash);

		if (ref != 0 && dc_store_evict_ref(ref, hash, kind, database, id, event))
			return true;
	}
	return false;
}

/* Make room for so many bytes within the tenant's limit; false: it cannot be. */
static bool
fits_tenant(const DcKey *key, Size size)
{
	Size		limit = (Size) dc_memory_kb * 1024 / 100 * dc_tenant_memory_limit;
	bool		evicted = false;

	if (limit == 0)
		return true;
	if (size > limit)
	{
		dc_store_count(DC_STORE_TENANT_REFUSED);
		dc_limit_reached(DC_STORE_TENANT_REFUSED);
		return false;
	}
	while (dc_chain_used(DC_CHAIN_TENANT, key->database, key->tenant_hash) + size > limit)
	{
		/* what is over the limit may be another's, of the same chain */
		if (!evict_own(DC_CHAIN_TENANT, key->database, key->tenant_hash,
					   DC_STORE_TENANT_EVICTED))
			break;
		evicted = true;
	}
	if (evicted)
		dc_limit_reached(DC_STORE_TENANT_EVICTED);
	return true;
}

/* Is it not known what a widget alone holds? */
static bool
is_counted_with_others(Oid database, uint32 widget)
{
	return dc_stats_get(database, widget) == dc_stats_common();
}

/* How many bytes a widget holds; if that is not known, its chain, which others share. */
static uint64
used_by_widget(Oid database, uint32 widget)
{
	DcSharedStats *stats = dc_stats_get(database, widget);

	if (stats == dc_stats_common())
		return dc_chain_used(DC_CHAIN_WIDGET, database, widget);
	return dc_stats_read(stats, DC_COUNT_STORED_BYTES);
}

/* How many bytes the group's widgets hold, and which of them the most. */
static uint64
used_by_group(Oid database, const DcGroup *group, uint32 *largest)
{
	uint64		used = 0;
	uint64		most = 0;

	*largest = group->widgets[0];
	for (int i = 0; i < group->nwidgets; i++)
	{
		uint64		bytes = used_by_widget(database, group->widgets[i]);

		used += bytes;
		if (bytes > most)
		{
			most = bytes;
			*largest = group->widgets[i];
		}
	}
	return used;
}

/*
 * Evict one entry of the group: of the widget that holds most, mostly.  False: none
 * was found, and "known" says whether that is because all that it holds is known.
 */
static bool
evict_of_group(Oid database, const DcGroup *group, uint32 largest, bool *known)
{
	bool		evicted = evict_own(DC_CHAIN_WIDGET, database, largest,
									DC_STORE_DASHBOARD_EVICTED);

	*known = !is_counted_with_others(database, largest);
	/* what is held there may be others' */
	for (int i = 0; i < group->nwidgets && !evicted && !*known; i++)
		evicted = evict_own(DC_CHAIN_WIDGET, database, group->widgets[i],
							DC_STORE_DASHBOARD_EVICTED);
	return evicted;
}

/* The same for the limit of the widget's dashboard. */
static bool
fits_group(const DcKey *key, const DcGroup *group, Size size)
{
	uint32		largest;
	bool		evicted = false;
	bool		fits = true;

	if (group->limit == 0)
		return true;
	if (size > group->limit)
		fits = false;
	while (fits && used_by_group(key->database, group, &largest) + size > group->limit)
	{
		bool		known;

		if (evict_of_group(key->database, group, largest, &known))
			evicted = true;
		else if (known)
			fits = false;
		else
			break;
	}
	if (!fits)
	{
		dc_store_count(DC_STORE_DASHBOARD_REFUSED);
		dc_limit_reached(DC_STORE_DASHBOARD_REFUSED);
	}
	else if (evicted)
		dc_limit_reached(DC_STORE_DASHBOARD_EVICTED);
	return fits;
}

/* The largest entry that is accepted, in bytes. */
Size
dc_store_largest(void)
{
	if (dc_max_answer_kb < 0)
		return dc_store->pieces_size / 4;
	return Min((Size) dc_max_answer_kb * 1024, dc_store->pieces_size / 2);
}

/* Make room for an entry within the limits; false: it must not be stored. */
bool
dc_limits_admit(const DcKey *key, const DcGroup *group, Size size)
{
	if (size > dc_store_largest())
	{
		dc_store_count(DC_STORE_TOO_LARGE);
		dc_limit_reached(DC_STORE_TOO_LARGE);
		return false;
	}
	return fits_tenant(key, size) && fits_group(key, group, size);
}
