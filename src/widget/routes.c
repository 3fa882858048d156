/*-------------------------------------------------------------------------
 *
 * routes.c
 *		The ways from a table to the tenant.
 *
 * See keys.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/keys_internal.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Do all triggers of a foreign key fire that stand on this side of it? */
static bool
key_triggers_fire(Oid relid, Oid constraint)
{
	Relation	relation = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = relation->trigdesc;
	int			found = 0;
	bool		fire = true;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgconstraint != constraint)
			continue;
		found++;
		fire &= trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN ||
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	table_close(relation, NoLock);
	return fire && found >= 2;
}

/*
 * Does a foreign key guarantee that the row referred to is there?  And does it
 * do so for what the equality calls equal?
 */
static bool
reference_is_enforced(Oid relid, AttrNumber attno, Oid referenced,
					  AttrNumber referenced_attno, const Equality *equality)
{
	Relation	relation;
	bool		enforced = false;
	ListCell   *lc;

	/* children by inheritance do not have their parent's foreign keys */
	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE && has_subclass(relid))
		return false;

	relation = table_open(relid, AccessShareLock);
	foreach(lc, RelationGetFKeyList(relation))
	{
		ForeignKeyCacheInfo *key = lfirst(lc);
		HeapTuple	tuple;

		if (key->confrelid != referenced || key->nkeys != 1 ||
			key->conkey[0] != attno || key->confkey[0] != referenced_attno ||
			dc_hash_family_of(key->conpfeqop[0]) != equality->family ||
			(OidIsValid(equality->collation) &&
			 !get_collation_isdeterministic(equality->collation)))
			continue;
		tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
		if (HeapTupleIsValid(tuple))
		{
			Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);

			enforced |= constraint->convalidated && !constraint->condeferrable &&
				key_triggers_fire(relid, key->conoid) &&
				key_triggers_fire(referenced, key->conoid);
			ReleaseSysCache(tuple);
		}
	}
	table_close(relation, NoLock);
	return enforced;
}

static RangeTblEntry *
rte_of(const Term *term)
{
	return rt_fetch(term->varno, term->level->query->rtable);
}

/* Can the table be looked into on the way to a tenant? */
static bool
is_plain_table(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_RELATION &&
		!IsCatalogRelationOid(rte->relid) &&
		!has_subclass(rte->relid) && !has_superclass(rte->relid);
}

/* The routes of length 0: all terms that are equal to the tenant. */
List *
dc_routes_direct(List *equalities)
{
	List	   *routes = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, equalities)
	{
		Equality   *equality = lfirst(lc);

		for (int side = 0; side < 2; side++)
		{
			if (equality->side[side].level != NULL ||
				equality->side[1 - side].level == NULL)
				continue;
			foreach(lc2, dc_equalities_follow(equalities, equality, side))
			{
				Reached    *reached = lfirst(lc2);
				Route	   *route = palloc0(sizeof(Route));

				route->from = reached->term;
				route->key_hash = reached->hash;
				route->tenant_hash = equality->hash[side];
				route->operator = equality->operator;
				route->family = equality->family;
				route->collation = equality->collation;
				routes = lappend(routes, route);
			}
		}
	}
	return routes;
}

/* Which hops a search for a route may take. */
typedef enum Hops
{
	UNIQUE_HOPS,				/* that match a unique column */
	MANY_HOPS,					/* or one that is indexed */
	WANTED_HOPS					/* or that would, if it were indexed */
} Hops;

static bool
has_route(List *routes, const Term *from)
{
	ListCell   *lc;

	foreach(lc, routes)
	{
		Route	   *route = lfirst(lc);

		if (route->from.level == from->level && route->from.varno == from->varno &&
			route->from.attno == from->attno)
			return true;
	}
	return false;
}

/*
 * How many rows have the same value in a column, as the statistics say; 0 if
 * they say nothing.
 */
static double
rows_for_each(Oid relid, AttrNumber attno)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows = 0;
	double		distinct = 0;

	if (HeapTupleIsValid(tuple))
	{
		rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
							Int16GetDatum(attno), BoolGetDatum(false));
	if (HeapTupleIsValid(tuple))
	{
		distinct = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct;
		ReleaseSysCache(tuple);
	}
	if (rows <= 0 || distinct == 0)
		return 0;
	return distinct > 0 ? rows / distinct : -1 / distinct;
}

/*
 * Make a route that begins one hop before another one: by the row, or the rows,
 * of that one's table whose column "match" equals what is reached.
 */
static Route *
lengthen(const Route *route, const Equality *equality, const Term *match,
		 const Term *reached, Hops hops)
{
	RangeTblEntry *rte = rte_of(reached);
	Oid			parent = rte_of(match)->relid;
	Route	   *made;
	DcHop	   *hop;
	DcPathIndex index;
	Oid			type;
	bool		unique;
	bool		indexed;

	if (rte->rtekind != RTE_RELATION)
		return NULL;
	type = get_atttype(rte->relid, reached->attno);
	unique = dc_path_find_index(parent, match->attno, type, equality->operator,
								equality->collation, &index);
	if (!unique && hops == UNIQUE_HOPS)
		return NULL;
	indexed = unique ||
		dc_path_find_referring(parent, match->attno, type, equality->operator,
							   equality->collation, &index);
	if (!indexed &&
		(hops == MANY_HOPS || !op_mergejoinable(equality->operator, type)))
		return NULL;
	/* they would lead to every tenant in the end, and each of them moves rows */
	if (!unique && rows_for_each(parent, match->attno) > DC_PATH_MAX_MATCHES / 2)
		return NULL;

	made = palloc(sizeof(Route));
	*made = *route;
	made->from = *reached;
	made->nhops = route->nhops + 1;
	memcpy(&made->hops[1], route->hops, sizeof(DcHop) * route->nhops);
	memcpy(&made->lacks_index[1], route->lacks_index, sizeof(bool) * route->nhops);
	made->lacks_index[0] = !indexed;
	hop = &made->hops[0];
	memset(hop, 0, sizeof(DcHop));
	hop->relid = parent;
	hop->match = match->attno;
	hop->next = route->from.attno;
	hop->equal = equality->operator;
	hop->collation = equality->collation;
	hop->many = !unique;
	hop->enforced = unique &&
		reference_is_enforced(rte->relid, reached->attno, parent,
							  match->attno, equality);
	return made;
}

/*
 * The routes that begin one hop before those given: wherever a column of a
 * route's table that can be matched is equal to something else.  Of those that
 * begin alike the first is enough, and none is needed where there was a shorter
 * one.
 */
static List *
longer_routes(List *equalities, List *routes, List *shorter, Hops hops)
{
	List	   *longer = NIL;
	ListCell   *lc;
	ListCell   *lc2;
	ListCell   *lc3;

	foreach(lc, routes)
	{
		Route	   *route = lfirst(lc);

		if (route->from.attno == 0 || route->nhops == DC_MAX_HOPS ||
			!is_plain_table(rte_of(&route->from)))
			continue;
		foreach(lc2, equalities)
		{
			Equality   *equality = lfirst(lc2);

			for (int side = 0; side < 2; side++)
			{
				Term	   *match = &equality->side[side];

				if (match->level != route->from.level ||
					match->varno != route->from.varno || match->attno <= 0 ||
					match->attno == route->from.attno)
					continue;
				foreach(lc3, dc_equalities_follow(equalities, equality, side))
				{
					Term	   *reached = &((Reached *) lfirst(lc3))->term;
					Route	   *made;

					if (reached->level == NULL || reached->attno <= 0 ||
						(reached->level == match->level &&
						 reached->varno == match->varno) ||
						has_route(longer, reached) || has_route(shorter, reached))
						continue;
					made = lengthen(route, equality, match, reached, hops);
					if (made != NULL)
						longer = lappend(longer, made);
				}
			}
		}
	}
	return longer;
}

static Route *
route_from(List *routes, const Level *level, int rti)
{
	ListCell   *lc;

	foreach(lc, routes)
	{
		Route	   *route = lfirst(lc);

		if (route->from.level == level && route->from.varno == rti)
			return route;
	}
	return NULL;
}

static Route *
find_route(List *equalities, const Level *level, int rti, Hops hops)
{
	List	   *routes = dc_routes_direct(equalities);
	List	   *shorter = NIL;
	Route	   *route;

	while ((route = route_from(routes, level, rti)) == NULL && routes != NIL)
	{
		shorter = list_concat(shorter, routes);
		routes = longer_routes(equalities, routes, shorter, hops);
	}
	return route;
}

/* What would have to be done for a route that lacks indexes. */
static const char *
indexes_for(const Route *route)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < route->nhops; i++)
	{
		const DcHop *hop = &route->hops[i];

		if (!route->lacks_index[i])
			continue;
		appendStringInfo(&sql, "%sCREATE INDEX ON %s (%s)", sql.len > 0 ? "; " : "",
						 quote_qualified_identifier(get_namespace_name(get_rel_namespace(hop->relid)),
													get_rel_name(hop->relid)),
						 quote_identifier(get_attname(hop->relid, hop->match, false)));
	}
	return sql.data;
}

/*
 * Find the shortest route from a table to the tenant; NULL if there is none.
 * Those by unique columns are preferred: they lead to one tenant, and whatever
 * else comes to refer to the row moves nothing.  Where there is no route for
 * want of indexes, "wanted" says which.
 */
Route *
dc_route_find(Search *search, Level *level, int rti, const char **wanted)
{
	List	   *equalities = dc_equalities_on(search, level, rti);
	Route	   *route = find_route(equalities, level, rti, UNIQUE_HOPS);

	*wanted = NULL;
	if (route == NULL)
	{
		route = find_route(equalities, level, rti, MANY_HOPS);
		/* what guarantees that rows refer to a row is no help here */
		for (int i = 0; route != NULL && i < route->nhops; i++)
			route->hops[i].enforced = false;
	}
	if (route == NULL)
	{
		Route	   *missed = find_route(equalities, level, rti, WANTED_HOPS);

		if (missed != NULL)
			*wanted = indexes_for(missed);
	}
	return route;
}

/*-------------------------------------------------------------------------
 * New rows that nothing refers to
 *
 * A message that is joined to its attachments makes a difference only if it
 * has some.  Where a foreign key is enforced a new message has none: whoever
 * attaches something to it, in the same transaction or later, changes the
 * attachments, and these are watched, too.  There may be some all the same,
 * left from a time when the key was not enforced, so the trigger looks for them
 * in an index; the key is what makes that certain while others write.
 *
 * But if new attachments made no difference for their part, for something
 * else must refer to them, and new rows of that made none for want of a
 * message, then a statement that adds all of them at once would be missed.  So
 * what must be referred to by what must not go round in a circle.
 *-------------------------------------------------------------------------
 */

typedef struct Referred
{
	const Level *level;
	int			varno;
	int			depth;
	const struct Referred *by;
} Referred;

/* Is one side of the equality the row in question, the other a reference to it? */
static const Term *
reference_to(const Equality *equality, int side, const Level *level, int rti)
{
	const Term *to = &equality->side[side];
	const Term *from = &equality->side[1 - side];
	RangeTblEntry *rte;
	DcPathIndex index;

	if (to->level != level || to->varno != rti || to->attno <= 0 ||
		from->level == NULL || from->attno <= 0 ||
		(from->level == level && from->varno == rti))
		return NULL;
	rte = rte_of(from);
	if (!is_plain_table(rte) || !is_plain_table(rte_of(to)) ||
		!reference_is_enforced(rte->relid, from->attno, rte_of(to)->relid,
							   to->attno, equality) ||
		!dc_path_find_index(rte_of(to)->relid, to->attno,
							get_atttype(rte->relid, from->attno),
							equality->operator, equality->collation, &index) ||
		!dc_path_find_referring(rte->relid, from->attno,
								get_atttype(rte_of(to)->relid, to->attno),
								equality->operator, equality->collation, &index))
		return NULL;
	return from;
}

/*
 * Does following the references from a table lead round in a circle?  Those in
 * subqueries that are searched later may not all be known yet; then they find
 * the circle.
 */
static bool
references_circle(Search *search, Level *level, int rti, const Referred *by,
				  DcReference *reference)
{
	Referred	here = {.level = level,.varno = rti,.by = by};
	ListCell   *lc;

	for (; by != NULL; by = by->by)
	{
		if ((by->level == level && by->varno == rti) || by->depth > 8)
			return true;
		here.depth = Max(here.depth, by->depth + 1);
	}
	foreach(lc, dc_equalities_on(search, level, rti))
	{
		const Equality *equality = lfirst(lc);

		for (int side = 0; side < 2; side++)
		{
			const Term *from = reference_to(equality, side, level, rti);

			if (from == NULL)
				continue;
			if (references_circle(search, from->level, from->varno, &here, NULL))
				return true;
			if (reference != NULL)
			{
				reference->relid = rte_of(from)->relid;
				reference->equal = equality->operator;
				reference->collation = equality->collation;
				reference->referenced = equality->side[side].attno;
				reference->refers = from->attno;
			}
		}
	}
	return false;
}

/* The foreign key by which a row must be referred to, to make a difference. */
void
dc_route_reference(Search *search, Level *level, int rti, DcReference *reference)
{
	if (references_circle(search, level, rti, NULL, reference))
		memset(reference, 0, sizeof(*reference));
}
