/*-------------------------------------------------------------------------
 *
 * guc.c
 *		The settings of dashcache.
 *
 * Settings that only matter to a preloaded library (the size of the shared
 * memory) cannot be defined later than server start, and are left out where
 * the library is loaded into a single session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"

#include "hit_path.h"

#include <limits.h>

#include "utils/guc.h"

/* dashcache.enabled: may this session be served from the cache? */
DC_HIT_DATA bool dc_enabled = true;

/* dashcache.memory, in kilobytes: all the shared memory there will ever be */
int			dc_memory_kb = 64 * 1024;

/* dashcache.max_answer, in kilobytes; -1: a quarter of the memory */
int			dc_max_answer_kb = -1;

/* dashcache.tenant_memory_limit, in percent of dashcache.memory; 0: none */
int			dc_tenant_memory_limit = 0;

/* dashcache.refresh_ahead: a part of an answer's life; 0: off */
DC_HIT_DATA double dc_refresh_ahead = 0.8;

/* dashcache.wait_timeout, in milliseconds; 0: never wait */
int			dc_wait_timeout_ms = 10 * 1000;

/* dashcache.log_min_duration, in milliseconds; -1: never */
int			dc_log_min_duration_ms = -1;

/* dashcache.workers: the most that run at a time, over all databases */
int			dc_workers = 2;

/* dashcache.compression, of what is stored from now on */
int			dc_compression = DC_COMPRESSION_DEFAULT;

static const struct config_enum_entry compressions[] = {
	{"off", DC_COMPRESSION_OFF, false},
	{"pglz", DC_COMPRESSION_PGLZ, false},
#ifdef USE_LZ4
	{"lz4", DC_COMPRESSION_LZ4, false},
#endif
	/* as any boolean may be spelled */
	{"false", DC_COMPRESSION_OFF, true},
	{"no", DC_COMPRESSION_OFF, true},
	{"0", DC_COMPRESSION_OFF, true},
	{NULL, 0, false}
};

/* dashcache.persist: keep entries over a clean restart? */
bool		dc_persist = true;

/*
 * Define the settings.  "preload": the library is being loaded by
 * shared_preload_libraries.
 */
void
dc_guc_define(bool preload)
{
	DefineCustomBoolVariable("dashcache.enabled",
							 "Serves answers from the cache.",
							 "When off, every call computes its answer and stores nothing; changes are still tracked.",
							 &dc_enabled,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	if (preload)
		DefineCustomIntVariable("dashcache.memory",
								"Sets the amount of shared memory reserved for dashcache.",
								"Entries, keys, change stamps and counters all live in it; nothing is ever taken beyond it.",
								&dc_memory_kb,
								64 * 1024,
								2 * 1024,
								DC_MAX_MEMORY_KB,
								PGC_POSTMASTER,
								GUC_UNIT_KB,
								NULL, NULL, NULL);

	DefineCustomIntVariable("dashcache.max_answer",
							"Sets the size of the largest answer that is kept.",
							"-1: a quarter of the memory for answers; half of it is the most.",
							&dc_max_answer_kb,
							-1,
							-1,
							DC_MAX_MEMORY_KB,
							PGC_SIGHUP,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("dashcache.tenant_memory_limit",
							"Sets the percentage of dashcache.memory that one tenant's answers may take.",
							"A tenant that has reached it gives way to itself. 0: there is no limit.",
							&dc_tenant_memory_limit,
							0,
							0,
							100,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomRealVariable("dashcache.refresh_ahead",
							 "Sets the part of an answer's life after which a hit has it computed anew in the background.",
							 "0 turns it off.",
							 &dc_refresh_ahead,
							 0.8,
							 0.0,
							 1.0,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("dashcache.wait_timeout",
							"Sets how long to wait for another session that computes the same answer.",
							"After that the answer is computed. 0 never waits.",
							&dc_wait_timeout_ms,
							10 * 1000,
							0,
							INT_MAX,
							PGC_USERSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("dashcache.log_min_duration",
							"Logs the computation of a widget that takes at least this long.",
							"-1 logs none, 0 logs all.",
							&dc_log_min_duration_ms,
							-1,
							-1,
							INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("dashcache.workers",
							"Sets the maximum number of workers, over all databases.",
							"They warm dashboards, ahead of time and in the background; 0: none do.",
							&dc_workers,
							2,
							0,
							DC_MAX_WORKERS,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomEnumVariable("dashcache.compression",
							 "Sets how answers are compressed that are stored from now on.",
							 "Answers below 2 kB, and those that would not shrink by a quarter, are stored as they are.",
							 &dc_compression,
							 DC_COMPRESSION_DEFAULT,
							 compressions,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomBoolVariable("dashcache.persist",
							 "Keeps entries over a clean restart of the server.",
							 "They are written to a file at the shutdown, and read at the next start if nothing has happened to the data meanwhile.",
							 &dc_persist,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("dashcache");
}
