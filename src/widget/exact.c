/*-------------------------------------------------------------------------
 *
 * exact.c
 *		Which aggregates give the same bytes in whatever order rows come.
 *
 * Another plan brings the rows in another order.  A sum of integers or numerics
 * is exact, so that it does not mind (the scale of a numeric sum is the greatest
 * of its inputs').  A sum of floats is rounded at each step; string_agg() shows
 * the order itself; and max() of the numerics 1.0 and 1.00 gives the one that
 * came first.  Only what is known here to be exact is taken for that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/exact.h"

#include "widget/analyze.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/typcache.h"

/* How the result of an aggregate depends on the order of its rows. */
typedef enum Exactness
{
	COUNTS,						/* not at all */
	EXACT,						/* not at all, but which of equal values are
								 * left by DISTINCT matters */
	PICKS,						/* picks one value of equal ones */
	LISTS,						/* shows the order */
	INEXACT						/* in a way that ORDER BY may not mend */
} Exactness;

static Exactness
exactness(Oid aggregate)
{
	const char *name;

	switch (aggregate)
	{
		case F_COUNT_:
		case F_COUNT_ANY:
		case F_REGR_COUNT:
			return COUNTS;

		case F_SUM_INT2:
		case F_SUM_INT4:
		case F_SUM_INT8:
		case F_SUM_NUMERIC:
		case F_SUM_INTERVAL:
		case F_SUM_MONEY:
		case F_AVG_INT2:
		case F_AVG_INT4:
		case F_AVG_INT8:
		case F_AVG_NUMERIC:
		case F_AVG_INTERVAL:
		case F_VARIANCE_INT2:
		case F_VARIANCE_INT4:
		case F_VARIANCE_INT8:
		case F_VARIANCE_NUMERIC:
		case F_VAR_SAMP_INT2:
		case F_VAR_SAMP_INT4:
		case F_VAR_SAMP_INT8:
		case F_VAR_SAMP_NUMERIC:
		case F_VAR_POP_INT2:
		case F_VAR_POP_INT4:
		case F_VAR_POP_INT8:
		case F_VAR_POP_NUMERIC:
		case F_STDDEV_INT2:
		case F_STDDEV_INT4:
		case F_STDDEV_INT8:
		case F_STDDEV_NUMERIC:
		case F_STDDEV_SAMP_INT2:
		case F_STDDEV_SAMP_INT4:
		case F_STDDEV_SAMP_INT8:
		case F_STDDEV_SAMP_NUMERIC:
		case F_STDDEV_POP_INT2:
		case F_STDDEV_POP_INT4:
		case F_STDDEV_POP_INT8:
		case F_STDDEV_POP_NUMERIC:
		case F_BOOL_AND:
		case F_BOOL_OR:
		case F_EVERY:
		case F_BIT_AND_INT2:
		case F_BIT_AND_INT4:
		case F_BIT_AND_INT8:
		case F_BIT_OR_INT2:
		case F_BIT_OR_INT4:
		case F_BIT_OR_INT8:
		case F_BIT_XOR_INT2:
		case F_BIT_XOR_INT4:
		case F_BIT_XOR_INT8:
			return EXACT;

		case F_PERCENTILE_DISC_FLOAT8_ANYELEMENT:
		case F_PERCENTILE_DISC__FLOAT8_ANYELEMENT:
		case F_PERCENTILE_CONT_FLOAT8_FLOAT8:
		case F_PERCENTILE_CONT__FLOAT8_FLOAT8:
		case F_MODE:
			return PICKS;

		case F_ARRAY_AGG_ANYNONARRAY:
		case F_STRING_AGG_TEXT_TEXT:
		case F_STRING_AGG_BYTEA_BYTEA:
		case F_JSON_AGG:
		case F_JSONB_AGG:
		case F_JSON_OBJECT_AGG:
		case F_JSONB_OBJECT_AGG:
			return LISTS;
	}

	/* there is a min() and a max() for each type */
	name = aggregate < FirstNormalObjectId ? get_func_name(aggregate) : NULL;
	if (name != NULL && (strcmp(name, "min") == 0 || strcmp(name, "max") == 0))
		return PICKS;
	return INEXACT;
}

/*
 * Are values of this expression equal only if they are the same bytes?  Floats
 * in general are not (-0 is 0), those that come from integers are.
 */
bool
dc_equal_is_identical_expr(Node *expression)
{
	if (IsA(expression, FuncExpr))
	{
		switch (((FuncExpr *) expression)->funcid)
		{
			case F_FLOAT8_INT2:
			case F_FLOAT8_INT4:
			case F_FLOAT8_INT8:
				return true;
		}
	}
	return dc_equal_means_identical(getBaseType(exprType(expression)),
									exprCollation(expression));
}

/*
 * Does a clause of ORDER BY, GROUP BY or DISTINCT compare as the type does by
 * default?  With USING it may call equal what the type tells apart.
 */
bool
dc_compares_by_default(const SortGroupClause *clause, Node *expression)
{
	TypeCacheEntry *type = lookup_type_cache(exprType(expression),
											 TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR |
											 TYPECACHE_GT_OPR);

	return clause->eqop == type->eq_opr &&
		(!OidIsValid(clause->sortop) || clause->sortop == type->lt_opr ||
		 clause->sortop == type->gt_opr);
}

static bool
all_compare_by_default(const List *clauses, const List *targets)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (!dc_compares_by_default(lfirst(lc),
									get_sortgroupclause_expr(lfirst(lc), (List *) targets)))
			return false;
	}
	return true;
}

/* Are all that is aggregated types whose equal values are identical? */
static bool
identical_arguments(const Aggref *aggregate)
{
	ListCell   *lc;

	foreach(lc, aggregate->args)
	{
		if (!dc_equal_is_identical_expr((Node *) ((TargetEntry *) lfirst(lc))->expr))
			return false;
	}
	return true;
}

/*
 * Does the ORDER BY within the aggregate leave no two different rows in an
 * order of chance?  A constant, such as a delimiter, is the same for all.
 */
static bool
totally_ordered(const Aggref *aggregate)
{
	ListCell   *lc;

	foreach(lc, aggregate->args)
	{
		TargetEntry *argument = lfirst(lc);

		if (argument->resjunk || IsA(argument->expr, Const))
			continue;
		if (argument->ressortgroupref == 0 ||
			get_sortgroupref_clause_noerr(argument->ressortgroupref,
										  aggregate->aggorder) == NULL ||
			!dc_equal_is_identical_expr((Node *) argument->expr))
			return false;
	}
	return true;
}

/*
 * Why the aggregate's result may depend on the order in which rows come, in
 * words; NULL if it is certain that it does not.
 */
const char *
dc_inexact_aggregate(const Aggref *aggregate)
{
	Exactness	exact = exactness(aggregate->aggfnoid);

	if (exact != COUNTS && exact != INEXACT &&
		!(all_compare_by_default(aggregate->aggorder, aggregate->args) &&
		  all_compare_by_default(aggregate->aggdistinct, aggregate->args)))
		return psprintf("%s is ordered by an operator that is not the type's own",
						format_procedure(aggregate->aggfnoid));
	switch (exact)
	{
		case COUNTS:
			return NULL;
		case EXACT:
			if (aggregate->aggdistinct == NIL || identical_arguments(aggregate))
				return NULL;
			break;
		case PICKS:
			if (identical_arguments(aggregate))
				return NULL;
			break;
		case LISTS:
			if (totally_ordered(aggregate))
				return NULL;
			return psprintf("the result of %s depends on the order of rows, which its ORDER BY does not fix",
							format_procedure(aggregate->aggfnoid));
		case INEXACT:
			return psprintf("the result of %s may depend on the order of rows",
							format_procedure(aggregate->aggfnoid));
	}
	return psprintf("%s picks one of equal values, which may be written in different ways",
					format_procedure(aggregate->aggfnoid));
}
