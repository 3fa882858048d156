/*-------------------------------------------------------------------------
 *
 * keys.c
 *		The sources of a query, and their tenant keys.
 *
 * The rewritten query is searched level by level: a level is the query or one
 * of its subqueries, with its own range table.  For each table of a level we
 * want to know which of its rows can make a difference to the answer for a
 * tenant:
 *
 * - the columns that are read, anywhere in the query;
 * - the tenant's key: a column (or a simple expression) that must equal $1 for
 *	 the row to make a difference, or a path to one: a column that must equal a
 *	 unique column of another table, whose row must have the key, or failing
 *	 that a column that is indexed: then a row must match that has it;
 * - the filter: conditions on the row alone that it must meet.
 *
 * A row makes no difference if one of the conditions that apply to its table
 * fails.  Which conditions apply depends on where the table stands among the
 * joins.  WHERE applies to every table below it; ON to both sides of an inner
 * join, but only to the nullable side of an outer join, since it does not
 * keep rows of the other side out of the result, unless a condition further up
 * is strict for the nullable side and so makes the join an inner one.
 *
 * To the table on the nullable side of an outer join a condition from above
 * the join applies only if it is strict for that table: the row in question
 * may fail it, but its absence puts a row of nulls in its place, which must
 * fail it as well.  Equalities are strict in whatever column they name.
 *
 * Equalities are followed through other columns (a.x = b.y AND b.y = $1) as
 * long as they belong to one hash operator family, in which equal values have
 * equal hashes.  The equalities that hold for every row that matters to a
 * level hold in its subqueries, too; that takes care of correlated ones.  A
 * condition on a column that a subquery in FROM (or a view) hands through
 * applies inside, where the planner could push it down as well.  EXISTS and
 * IN among the conditions contribute the equalities that hold for a row they
 * find, and so does a subquery in FROM that hands a table's column through.
 *
 * Where a key is not certain there is none: any change touches every tenant.
 *
 * levels.c has the levels, the columns and the conditions, equalities.c what
 * follows from the conditions, routes.c the ways to the tenant, and this file
 * puts together what is known of each source.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/keys.h"

#include "widget/keys_internal.h"

#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/lsyscache.h"

static void finish_level(Search *search, Level *level);

/*-------------------------------------------------------------------------
 * Filters
 *-------------------------------------------------------------------------
 */

static List *
add_filter(Node *clause, int rti, bool above, List *filter)
{
	ListCell   *lc;

	if (clause == NULL || list_length(filter) >= 8)
		return filter;
	if (IsA(clause, List) || is_andclause(clause))
	{
		foreach(lc, IsA(clause, List) ? (List *) clause : ((BoolExpr *) clause)->args)
			filter = add_filter(lfirst(lc), rti, above, filter);
		return filter;
	}
	if (checkExprHasSubLink(clause))
		return filter;

	clause = eval_const_expressions(NULL, copyObject(clause));
	if (dc_is_row_only(clause, rti) && !contain_mutable_functions(clause) &&
		(!above || !contain_nonstrict_functions(clause)))
	{
		ChangeVarNodes(clause, rti, 1, 0);
		filter = lappend(filter, clause);
	}
	return filter;
}

/* The conditions that a row of the table must meet by itself. */
static List *
find_filter(Level *level, int rti)
{
	List	   *filter = NIL;
	ListCell   *lc;

	foreach(lc, dc_conditions_on((Node *) level->query->jointree, rti, NIL))
	{
		Condition  *condition = lfirst(lc);

		filter = add_filter(condition->clause, rti, condition->above, filter);
	}
	return filter;
}

/*-------------------------------------------------------------------------
 * Sources
 *-------------------------------------------------------------------------
 */

static bool
same_watch(const DcSource *a, const DcSource *b)
{
	return a->relid == b->relid &&
		a->invalidation == b->invalidation &&
		a->key == b->key &&
		equal(a->key_expression, b->key_expression) &&
		a->nhops == b->nhops &&
		memcmp(a->hops, b->hops, sizeof(DcHop) * a->nhops) == 0 &&
		a->key_hash == b->key_hash &&
		a->tenant_hash == b->tenant_hash &&
		a->collation == b->collation &&
		memcmp(&a->reference, &b->reference, sizeof(DcReference)) == 0 &&
		equal(a->filter, b->filter);
}

/* Two uses of a source are one if they are watched in the same way. */
static void
add_source(DcAnalysis *analysis, const DcSource *found)
{
	DcSource   *source;
	ListCell   *lc;

	foreach(lc, analysis->sources)
	{
		source = lfirst(lc);
		if (same_watch(source, found))
		{
			source->columns.all |= found->columns.all;
			source->columns.attnums = bms_union(source->columns.attnums,
												found->columns.attnums);
			return;
		}
	}

	source = palloc(sizeof(DcSource));
	*source = *found;
	analysis->sources = lappend(analysis->sources, source);
}

/* Is one of a table's partitions or children a foreign table? */
static bool
has_foreign_member(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_FOREIGN_TABLE)
			return true;
	}
	return false;
}

static void
finish_relation(Search *search, Level *level, int rti)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DcSource	source;
	Route	   *route;

	memset(&source, 0, sizeof(source));
	source.relid = rte->relid;
	source.columns = level->columns[rti];
	/* which rows a sample takes depends on where they are stored */
	source.columns.all |= rte->tablesample != NULL;

	if (IsCatalogRelationOid(rte->relid))
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a system catalog cannot have triggers";
	}
	else if (rte->relkind == RELKIND_FOREIGN_TABLE)
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a foreign table changes without notice";
	}
	else if (rte->relkind == RELKIND_MATVIEW)
	{
		source.invalidation = DC_INVALIDATION_ANY;
		source.reason = "a materialized view changes as a whole";
	}
	else if (rte->relkind != RELKIND_RELATION &&
			 rte->relkind != RELKIND_PARTITIONED_TABLE)
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "it is not a table, and cannot have triggers";
	}
	else if (has_foreign_member(rte->relid))
	{
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a part of it is a foreign table, which changes without notice";
	}
	else
	{
		source.filter = find_filter(level, rti);
		dc_route_reference(search, level, rti, &source.reference);
		route = dc_route_find(search, level, rti, &source.wanted_index);
		if (route != NULL)
		{
			source.invalidation = DC_INVALIDATION_ROW;
			source.key = route->from.attno;
			if (route->from.expression != NULL)
			{
				source.key_expression = copyObject(route->from.expression);
				ChangeVarNodes(source.key_expression, rti, 1, 0);
			}
			source.nhops = route->nhops;
			memcpy(source.hops, route->hops, sizeof(DcHop) * route->nhops);
			source.key_hash = route->key_hash;
			source.tenant_hash = route->tenant_hash;
			source.collation = route->collation;
		}
		else
		{
			source.invalidation = DC_INVALIDATION_ANY;
			source.reason = source.wanted_index == NULL ?
				"no condition on $1 reaches it" :
				"no condition on $1 reaches it without another index";
		}
	}
	add_source(search->analysis, &source);
}

/* May a condition on an output column of the subquery be applied inside? */
static bool
column_is_transparent(Query *query, TargetEntry *target)
{
	ListCell   *lc;

	if (query->limitCount != NULL || query->limitOffset != NULL ||
		query->groupingSets != NIL || query->hasModifyingCTE)
		return false;
	if ((query->hasAggs || query->groupClause != NIL || query->havingQual != NULL) &&
		(target->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(target->ressortgroupref,
									   query->groupClause) == NULL))
		return false;
	if (query->hasDistinctOn &&
		(target->ressortgroupref == 0 ||
		 get_sortgroupref_clause_noerr(target->ressortgroupref,
									   query->distinctClause) == NULL))
		return false;
	foreach(lc, query->windowClause)
	{
		WindowClause *window = lfirst(lc);

		if (target->ressortgroupref == 0 ||
			get_sortgroupref_clause_noerr(target->ressortgroupref,
										  window->partitionClause) == NULL)
			return false;
	}
	return true;
}

/*
 * Let an equality of the outer level about an output column of the inner one
 * hold inside, where it may.
 */
static void
give_inside(Level *inner, const Equality *equality, int side)
{
	Query	   *query = inner->query;
	AttrNumber	attno = equality->side[side].attno;
	TargetEntry *target = get_tle_by_resno(query->targetList, attno);
	Equality   *given;

	if (target == NULL || target->resjunk || !column_is_transparent(query, target))
		return;

	given = palloc(sizeof(Equality));
	*given = *equality;
	if (dc_term_of(inner, (Node *) target->expr, &given->side[side],
				   given->family, &given->hash[side]))
		inner->given = lappend(inner->given, given);
}

/*
 * What must be equal for a row of a subquery in FROM to make a difference must
 * be so for the rows that it is made from, too: for each branch on its own, if
 * it is a set operation.
 */
static void
give(Search *search, Level *level, int rti, List *equalities,
	 Level *inner, const Query *outermost)
{
	Query	   *query = inner->query;
	ListCell   *lc;

	if (query->setOperations != NULL)
	{
		if (query->limitCount != NULL || query->limitOffset != NULL)
			return;
		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst(lc);
			Level	   *branch = rte->rtekind == RTE_SUBQUERY ?
			dc_level_of(search, rte->subquery) : NULL;

			if (branch != NULL)
				give(search, level, rti, equalities, branch, outermost);
		}
		return;
	}

	inner->given = list_concat(inner->given, equalities);
	foreach(lc, equalities)
	{
		Equality   *equality = lfirst(lc);

		for (int side = 0; side < 2; side++)
		{
			const Term *term = &equality->side[side];
			TargetEntry *column;
			TargetEntry *promised;

			if (term->level != level || term->varno != rti || term->attno <= 0)
				continue;
			column = get_tle_by_resno(query->targetList, term->attno);
			promised = get_tle_by_resno(outermost->targetList, term->attno);
			if (column != NULL && promised != NULL &&
				exprType((Node *) column->expr) == exprType((Node *) promised->expr))
				give_inside(inner, equality, side);
		}
	}
}

static void
finish_from(Search *search, Level *level, Node *node)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
	{
		int			rti = ((RangeTblRef *) node)->rtindex;
		RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
		Level	   *inner = NULL;

		if (rte->rtekind == RTE_RELATION)
			finish_relation(search, level, rti);
		else
			inner = dc_level_behind(search, level, rti);
		if (inner != NULL)
		{
			give(search, level, rti, dc_equalities_said(search, level, rti),
				 inner, inner->query);
			finish_level(search, inner);
		}
	}
	else if (IsA(node, JoinExpr))
	{
		finish_from(search, level, ((JoinExpr *) node)->larg);
		finish_from(search, level, ((JoinExpr *) node)->rarg);
	}
	else
	{
		foreach(lc, castNode(FromExpr, node)->fromlist)
			finish_from(search, level, lfirst(lc));
	}
}

/* Find the sources of a level, and of all inside it. */
static void
finish_level(Search *search, Level *level)
{
	ListCell   *lc;

	if (level->finished)
		return;
	level->finished = true;

	level->wide = list_copy(level->given);
	foreach(lc, dc_conditions_on((Node *) level->query->jointree, 0, NIL))
		level->wide = dc_equalities_add(search, level,
										((Condition *) lfirst(lc))->clause,
										level->wide);
	finish_from(search, level, (Node *) level->query->jointree);
	foreach(lc, search->levels)
	{
		Level	   *inner = lfirst(lc);

		if (inner->parent == level)
			finish_level(search, inner);
	}
}

/*-------------------------------------------------------------------------
 * WITH queries
 *
 * Two references to a WITH query are about two rows of it.  To see which
 * conditions apply to each, they are made two subqueries; the answer depends
 * on the same rows either way, since nothing in it is volatile.
 *-------------------------------------------------------------------------
 */

typedef struct Inline
{
	const CommonTableExpr *cte;
	int			levelsup;
} Inline;

/* Put a WITH query in the place of the references to it. */
static bool
inline_walker(Node *node, Inline *inlined)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		inlined->levelsup++;
		(void) query_tree_walker((Query *) node, inline_walker, inlined,
								 QTW_EXAMINE_RTES_AFTER);
		inlined->levelsup--;
		return false;
	}
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_CTE && rte->ctelevelsup == inlined->levelsup &&
			strcmp(rte->ctename, inlined->cte->ctename) == 0)
		{
			rte->subquery = copyObject((Query *) inlined->cte->ctequery);
			if (inlined->levelsup > 0)
				IncrementVarSublevelsUp((Node *) rte->subquery,
										inlined->levelsup, 1);
			rte->rtekind = RTE_SUBQUERY;
			rte->ctename = NULL;
			rte->ctelevelsup = 0;
			rte->coltypes = NIL;
			rte->coltypmods = NIL;
			rte->colcollations = NIL;
		}
		return false;
	}
	return expression_tree_walker(node, inline_walker, inlined);
}

/* How many range table entries are in there? */
static bool
count_walker(Node *node, int *tables)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		(*tables)++;
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, count_walker, tables,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, count_walker, tables);
}

static bool
inline_all_walker(Node *node, int *room)
{
	Query	   *query = (Query *) node;
	List	   *left = NIL;
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, inline_all_walker, room);

	check_stack_depth();
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);
		Inline		inlined = {.cte = cte,.levelsup = -1};
		int			tables = 0;

		(void) count_walker(cte->ctequery, &tables);
		if (cte->cterecursive || !IsA(cte->ctequery, Query) ||
			((Query *) cte->ctequery)->commandType != CMD_SELECT ||
			cte->cterefcount == 0 || tables * cte->cterefcount > *room)
		{
			left = lappend(left, cte);
			continue;
		}
		*room -= tables * cte->cterefcount;
		(void) inline_walker(node, &inlined);
	}
	query->cteList = left;
	return query_tree_walker(query, inline_all_walker, room, 0);
}

/*
 * Find the sources of a rewritten query, with their columns, keys and filters,
 * and add them to the analysis, in the order of their appearance.
 */
void
dc_keys_find(Query *query, DcAnalysis *analysis)
{
	Search		search = {.analysis = analysis};
	int			room = 200;

	query = copyObject(query);
	(void) inline_all_walker((Node *) query, &room);
	dc_level_search(query, NULL, &search);
	finish_level(&search, linitial(search.levels));
}
