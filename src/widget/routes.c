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
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "parser/parsetree.h"
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

/*
 * The routes that begin one hop before those given: wherever a unique column
 * of a route's table is equal to something else.
 */
static List *
longer_routes(List *equalities, List *routes)
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
				Oid			parent;

				if (match->level != route->from.level ||
					match->varno != route->from.varno || match->attno <= 0 ||
					match->attno == route->from.attno)
					continue;
				parent = rte_of(match)->relid;
				foreach(lc3, dc_equalities_follow(equalities, equality, side))
				{
					Reached    *reached = lfirst(lc3);
					Route	   *made;
					RangeTblEntry *rte;
					DcPathIndex index;

					if (reached->term.level == NULL || reached->term.attno <= 0 ||
						(reached->term.level == match->level &&
						 reached->term.varno == match->varno))
						continue;
					rte = rte_of(&reached->term);
					if (rte->rtekind != RTE_RELATION ||
						!dc_path_find_index(parent, match->attno,
											get_atttype(rte->relid,
														reached->term.attno),
											equality->operator,
											equality->collation, &index))
						continue;
					made = palloc0(sizeof(Route));
					*made = *route;
					made->from = reached->term;
					made->nhops = route->nhops + 1;
					memcpy(&made->hops[1], route->hops,
						   sizeof(DcHop) * route->nhops);
					made->hops[0].relid = parent;
					made->hops[0].match = match->attno;
					made->hops[0].next = route->from.attno;
					made->hops[0].equal = equality->operator;
					made->hops[0].collation = equality->collation;
					made->hops[0].enforced =
						reference_is_enforced(rte->relid, reached->term.attno,
											  parent, match->attno, equality);
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

/* Find the shortest route from a table to the tenant; NULL if there is none. */
Route *
dc_route_find(Search *search, Level *level, int rti, int max_hops)
{
	List	   *equalities = dc_equalities_on(search, level, rti);
	List	   *routes = dc_routes_direct(equalities);

	for (int hops = 0;; hops++)
	{
		Route	   *route = route_from(routes, level, rti);

		if (route != NULL || routes == NIL || hops == max_hops)
			return route;
		routes = longer_routes(equalities, routes);
	}
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
