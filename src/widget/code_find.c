/*-------------------------------------------------------------------------
 *
 * code_find.c
 *		What a query runs that belongs to somebody.
 *
 * Three things run code.  The parser runs the input functions of literals, so
 * types are looked for in the text already.  The query runs its functions, views,
 * policies, and the constraints of domains, also where a value is made of text or
 * JSON.  And the planner calls what is immutable and has constant arguments, not
 * only in the query: in what is attached to its tables, indexes' expressions and
 * predicates, CHECK constraints, partition keys, statistics, and to those that
 * inherit from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/code.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* The owner of an object of three kinds; InvalidOid if it is not there. */
static Oid
owner_of(Oid class, Oid object)
{
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	switch (class)
	{
		case RelationRelationId:
			tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(object));
			if (HeapTupleIsValid(tuple))
				owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
			break;
		case ProcedureRelationId:
			tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(object));
			if (HeapTupleIsValid(tuple))
				owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
			break;
		default:
			tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(object));
			if (HeapTupleIsValid(tuple))
				owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
			break;
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return owner;
}

static void
add(List **code, Oid class, Oid object)
{
	DcCode	   *new;
	ListCell   *lc;

	/* the server's own */
	if (object < FirstNormalObjectId)
		return;
	foreach(lc, *code)
	{
		DcCode	   *known = lfirst(lc);

		if (known->class == class && known->object == object)
			return;
	}
	new = palloc(sizeof(DcCode));
	new->role = owner_of(class, object);
	new->class = class;
	new->object = object;
	*code = lappend(*code, new);
}

static bool
add_function(Oid function, void *code)
{
	add(code, ProcedureRelationId, function);
	return false;
}

/*
 * Making a value of a domain checks it, and making one of a composite type, an
 * array or a range makes values of what is in it.
 */
static void
add_type(List **code, Oid type)
{
	char		kind;

	for (;;)
	{
		Oid			inner = get_element_type(type);

		if (!OidIsValid(inner))
			inner = get_range_subtype(type);
		if (!OidIsValid(inner))
			inner = get_multirange_range(type);
		if (!OidIsValid(inner))
			break;
		type = inner;
	}
	kind = get_typtype(type);
	if (kind == TYPTYPE_DOMAIN || kind == TYPTYPE_COMPOSITE)
		add(code, TypeRelationId, type);
}

static void
add_types(List **code, List *types)
{
	ListCell   *lc;

	foreach(lc, types)
		add_type(code, lfirst_oid(lc));
}

/*-------------------------------------------------------------------------
 * What is attached to a table
 *-------------------------------------------------------------------------
 */

/*
 * The planner may call a function if it is immutable, and all its arguments may
 * come to be constants, which a column never does; or if it can put the body of
 * a function in SQL in its place, with whatever is in that.
 */
static bool
add_if_folded(Oid function, void *code)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		if (form->provolatile == PROVOLATILE_IMMUTABLE ||
			form->prolang == SQLlanguageId)
			add(code, ProcedureRelationId, function);
		ReleaseSysCache(tuple);
	}
	return false;
}

static bool
add_if_sql(Oid function, void *code)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));

	if (HeapTupleIsValid(tuple))
	{
		if (((Form_pg_proc) GETSTRUCT(tuple))->prolang == SQLlanguageId)
			add(code, ProcedureRelationId, function);
		ReleaseSysCache(tuple);
	}
	return false;
}

/* Is one of a call's arguments a column as it is? */
static bool
takes_column(Node *node)
{
	List	   *arguments = NIL;
	ListCell   *lc;

	if (IsA(node, FuncExpr))
		arguments = ((FuncExpr *) node)->args;
	else if (IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr))
		arguments = ((OpExpr *) node)->args;
	else if (IsA(node, ScalarArrayOpExpr))
		arguments = ((ScalarArrayOpExpr *) node)->args;
	foreach(lc, arguments)
	{
		Node	   *argument = lfirst(lc);

		while (IsA(argument, RelabelType))
			argument = (Node *) ((RelabelType *) argument)->arg;
		if (IsA(argument, Var))
			return true;
	}
	return false;
}

static bool
attached_walker(Node *node, List **code)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain))
		add(code, TypeRelationId, ((CoerceToDomain *) node)->resulttype);
	(void) check_functions_in_node(node,
								   takes_column(node) ? add_if_sql : add_if_folded,
								   code);
	return expression_tree_walker(node, attached_walker, code);
}

static void
add_expression(List **code, const char *tree)
{
	(void) attached_walker(stringToNode(tree), code);
}

/* An expression, or a list, that a row of a catalog may have. */
static void
add_column(List **code, int cache, Oid object, AttrNumber column)
{
	HeapTuple	tuple = SearchSysCache1(cache, ObjectIdGetDatum(object));
	Datum		tree;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return;
	tree = SysCacheGetAttr(cache, tuple, column, &isnull);
	if (!isnull)
		add_expression(code, TextDatumGetCString(tree));
	ReleaseSysCache(tuple);
}

static void
add_attached(List **code, Oid relid)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	TupleConstr *constraints;
	ListCell   *lc;

	if (relation == NULL)
		return;
	if (RELKIND_HAS_STORAGE(relation->rd_rel->relkind) ||
		relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		foreach(lc, RelationGetIndexList(relation))
		{
			add_column(code, INDEXRELID, lfirst_oid(lc), Anum_pg_index_indexprs);
			add_column(code, INDEXRELID, lfirst_oid(lc), Anum_pg_index_indpred);
		}
	}
	foreach(lc, RelationGetStatExtList(relation))
		add_column(code, STATEXTOID, lfirst_oid(lc), Anum_pg_statistic_ext_stxexprs);
	constraints = RelationGetDescr(relation)->constr;
	for (int i = 0; constraints != NULL && i < constraints->num_check; i++)
		add_expression(code, constraints->check[i].ccbin);
	if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		add_column(code, PARTRELID, relid, Anum_pg_partitioned_table_partexprs);
	relation_close(relation, AccessShareLock);
}

static void
add_relation(List **code, const RangeTblEntry *rte)
{
	/* policies are the table's; a view is still there, as OLD of its rule */
	bool		view = get_rel_relkind(rte->relid) == RELKIND_VIEW;
	ListCell   *lc;

	if (rte->relid < FirstNormalObjectId)
		return;
	if (view || rte->securityQuals != NIL)
		add(code, RelationRelationId, rte->relid);
	if (view)
		return;
	if (!rte->inh)
		add_attached(code, rte->relid);
	else
	{
		/* it may be one that has none */
		foreach(lc, find_all_inheritors(rte->relid, NoLock, NULL))
			add_attached(code, lfirst_oid(lc));
	}
}

/*-------------------------------------------------------------------------
 * What a query runs
 *-------------------------------------------------------------------------
 */

static bool
code_walker(Node *node, List **code)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			return query_tree_walker((Query *) node, code_walker, code,
									 QTW_EXAMINE_RTES_BEFORE);
		case T_RangeTblEntry:
			if (((RangeTblEntry *) node)->rtekind == RTE_RELATION)
				add_relation(code, (RangeTblEntry *) node);
			return false;
		case T_RangeTblFunction:
			add_types(code, ((RangeTblFunction *) node)->funccoltypes);
			break;
		case T_TableFunc:
			add_types(code, ((TableFunc *) node)->coltypes);
			break;
		case T_Const:
		case T_FuncExpr:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
			add_type(code, exprType(node));
			break;
		default:
			break;
	}
	(void) check_functions_in_node(node, add_function, code);
	return expression_tree_walker(node, code_walker, code);
}

/* What rewritten queries run that belongs to somebody, added to a list of DcCode. */
List *
dc_code_of(List *code, List *queries)
{
	(void) code_walker((Node *) queries, &code);
	return code;
}

/* What making a value of a type runs, added to a list. */
List *
dc_code_of_type(List *code, Oid type)
{
	add_type(&code, type);
	return code;
}

/*-------------------------------------------------------------------------
 * What parsing a query runs
 *-------------------------------------------------------------------------
 */

static void
add_type_name(List **code, const TypeName *name)
{
	Type		type = LookupTypeName(NULL, name, NULL, true);

	if (type != NULL)
	{
		add_type(code, typeTypeId(type));
		ReleaseSysCache(type);
	}
}

static bool
text_walker(Node *node, List **code)
{
	if (node == NULL)
		return false;
	if (IsA(node, TypeName))
		add_type_name(code, (TypeName *) node);
	/* a cast may look like a call */
	else if (IsA(node, FuncCall) && list_length(((FuncCall *) node)->funcname) <= 3)
		add_type_name(code, makeTypeNameFromNameList(((FuncCall *) node)->funcname));
	return raw_expression_tree_walker(node, text_walker, code);
}

/* The types that a query's text names, as far as they are somebody's code, added to a list. */
List *
dc_code_of_text(List *code, const char *query)
{
	ListCell   *lc;

	/* a statement that is no query is refused elsewhere */
	foreach(lc, raw_parser(query, RAW_PARSE_DEFAULT))
	{
		Node	   *statement = lfirst_node(RawStmt, lc)->stmt;

		if (IsA(statement, SelectStmt))
			(void) text_walker(statement, &code);
	}
	return code;
}
