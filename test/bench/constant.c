/*-------------------------------------------------------------------------
 *
 * constant.c
 *		The least that a function and a trigger can do.
 *
 * No function that answers with a text can be faster than one that has the
 * text ready, and no trigger faster than one that does nothing.  test/bench/run
 * measures dashcache against these.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(constant_get);
PG_FUNCTION_INFO_V1(constant_trigger);

static text *constant = NULL;

/*
 * constant_get(tenant, length): a text of that many bytes, made by the first
 * call of a session.
 */
Datum
constant_get(PG_FUNCTION_ARGS)
{
	int32		length = PG_GETARG_INT32(1);

	if (unlikely(constant == NULL || VARSIZE(constant) != VARHDRSZ + length))
	{
		if (constant != NULL)
			pfree(constant);
		constant = MemoryContextAlloc(TopMemoryContext, VARHDRSZ + length);
		SET_VARSIZE(constant, VARHDRSZ + length);
		memset(VARDATA(constant), 'x', length);
	}
	PG_RETURN_TEXT_P(constant);
}

/*
 * A trigger that does nothing.
 */
Datum
constant_trigger(PG_FUNCTION_ARGS)
{
	return PointerGetDatum(NULL);
}
