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
PG_FUNCTION_INFO_V1(constant_copy);
PG_FUNCTION_INFO_V1(constant_trigger);

static text *constant = NULL;

static text *
constant_of(int32 length)
{
	if (unlikely(constant == NULL || VARSIZE(constant) != VARHDRSZ + length))
	{
		if (constant != NULL)
			pfree(constant);
		constant = MemoryContextAlloc(TopMemoryContext, VARHDRSZ + length);
		SET_VARSIZE(constant, VARHDRSZ + length);
		memset(VARDATA(constant), 'x', length);
	}
	return constant;
}

/*
 * constant_get(tenant, length): a text of that many bytes, made by the first
 * call of a session.
 */
Datum
constant_get(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(constant_of(PG_GETARG_INT32(1)));
}

/*
 * constant_copy(tenant, length): a copy of it, as of what is shared with others.
 */
Datum
constant_copy(PG_FUNCTION_ARGS)
{
	text	   *original = constant_of(PG_GETARG_INT32(1));
	text	   *copy = palloc(VARSIZE(original));

	memcpy(copy, original, VARSIZE(original));
	PG_RETURN_TEXT_P(copy);
}

/*
 * A trigger that does nothing.
 */
Datum
constant_trigger(PG_FUNCTION_ARGS)
{
	return PointerGetDatum(NULL);
}
