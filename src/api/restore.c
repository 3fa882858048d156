/*-------------------------------------------------------------------------
 *
 * restore.c
 *		Definitions that come from elsewhere: by a dump, or by pg_upgrade.
 *
 * They are computed at each call until a worker (warm/restored.c) or
 * dashcache_repair() has looked at them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "demand.h"
#include "widget/catalog.h"
#include "widget/verified.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(dashcache_restored);
PG_FUNCTION_INFO_V1(dashcache_unverified);

/*
 * AFTER INSERT FOR EACH STATEMENT, on the tables of definitions: by others than
 * our own functions, who see to everything themselves.
 */
Datum
dashcache_restored(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function was not called by a trigger of dashcache")));
	if (!InLocalUserIdChange())
		dc_demand_repair_at_commit();
	return PointerGetDatum(NULL);
}

/*
 * dashcache.unverified(): the widgets that were not looked at yet.
 */
Datum
dashcache_unverified(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach(lc, dc_unverified())
	{
		Datum		value = Int32GetDatum(lfirst_int(lc));
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
