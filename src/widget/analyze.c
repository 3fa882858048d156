/*-------------------------------------------------------------------------
 *
 * analyze.c
 *		What a widget's query reads, and for which tenant.
 *
 * The query is parsed and analysed as if it were to be run, checked for what
 * a cached answer cannot stand for, rewritten (so that views are expanded and
 * row security is part of it), and searched level by level: a level is a query
 * or one of its subqueries, with its own range table.  For each table of a
 * level the search finds
 *
 * - the columns that are read, anywhere in the query; and
 * - the tenant's key: a column that must equal $1 for a row of the table to
 *	 make any difference.
 *
 * A row makes no difference if one of the conditions that apply to its table
 * fails.  Which conditions apply depends on where the table stands among the
 * joins: WHERE applies to every table below it, ON to both sides of an inner
 * join, but only to the nullable side of an outer join, since it does not
 * keep rows of the other side out of the result.  Equalities are followed
 * through other columns (a.x = b.y AND b.y = $1), as long as they belong to
 * one hash operator family, in which equal values have equal hashes.  Where a
 * key is not certain there is none, and any change touches every tenant.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "widget/analyze.h"

#include "access/hash.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/regproc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* The query under analysis, for the error context. */
typedef struct QueryText
{
	const char *query;
	bool		rewritten;		/* positions may be those in a view */
} QueryText;

/* One level of the query, while it is searched. */
typedef struct Level
{
	struct Level *parent;
	Query	   *query;
	DcColumns  *columns;		/* by range table index */
} Level;

typedef struct SearchContext
{
	DcAnalysis *analysis;
	Level	   *level;
} SearchContext;

/* A column of the level, or $1, in an equality. */
typedef struct Term
{
	int			varno;			/* 0: the tenant */
	AttrNumber	attno;
} Term;

/* An equality that holds for every row that makes a difference. */
typedef struct Equality
{
	Term		side[2];
	Oid			hash[2];		/* hash function for the operator's input */
	Oid			family;
	Oid			collation;
	bool		used;
} Equality;

static void check_query(Query *query, DcAnalysis *analysis);
static bool search_walker(Node *node, SearchContext *context);

/*
 * Positions in the widget's query are not positions in the statement that
 * contains it as a literal.
 */
static void
query_error_callback(void *arg)
{
	QueryText  *text = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		if (!text->rewritten)
		{
			internalerrposition(position);
			internalerrquery(text->query);
		}
	}
}

/* Report a position in the query with an error that is being raised. */
static int
query_position(int location)
{
	return location < 0 ? 0 : errposition(location + 1);
}

static Query *
parse_query(const char *query, Oid *tenant_type)
{
	List	   *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt    *statement;
	Oid		   *types;
	int			ntypes = 2;
	Query	   *parsed;

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT"),
				 errdetail("The query has %d statements.", list_length(statements)),
				 list_length(statements) > 1 ?
				 query_position(((RawStmt *) lsecond(statements))->stmt_location) : 0));

	statement = linitial(statements);
	if (!IsA(statement->stmt, SelectStmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT"),
				 errdetail("The query is a different kind of statement."),
				 query_position(Max(statement->stmt_location, 0))));

	types = palloc0(sizeof(Oid) * 2);
	types[1] = JSONBOID;
	parsed = parse_analyze_varparams(statement, query, &types, &ntypes, NULL);

	if (ntypes > 2)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("there is no parameter $%d", ntypes),
				 errhint("$1 is the tenant, $2 the params, a jsonb object.")));
	if (types[0] == InvalidOid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the query has no $1"),
				 errdetail("A widget is computed for a tenant, which the query refers to as $1."),
				 errhint("Add a condition such as \"WHERE company_id = $1\".")));
	if (types[0] == UNKNOWNOID)
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine data type of parameter $1"),
				 errhint("Cast it, as in \"$1::bigint\".")));
	*tenant_type = types[0];
	return parsed;
}

/*-------------------------------------------------------------------------
 * What a cached answer cannot stand for
 *-------------------------------------------------------------------------
 */

/* Functions whose result belongs to the session that calls them. */
static bool
depends_on_session(Oid function)
{
	switch (function)
	{
		case F_SESSION_USER:
		case F_CURRENT_SETTING_TEXT:
		case F_CURRENT_SETTING_TEXT_BOOL:
		case F_PG_BACKEND_PID:
		case F_INET_CLIENT_ADDR:
		case F_INET_CLIENT_PORT:
		case F_CURRENT_QUERY:
		case F_PG_MY_TEMP_SCHEMA:
		case F_PG_CURRENT_XACT_ID:
		case F_PG_CURRENT_XACT_ID_IF_ASSIGNED:
		case F_PG_CURRENT_SNAPSHOT:
		case F_TXID_CURRENT:
		case F_TXID_CURRENT_IF_ASSIGNED:
		case F_TXID_CURRENT_SNAPSHOT:
			return true;
		default:
			return false;
	}
}

/* Functions of the server that read tables, which nobody can see. */
static bool
reads_tables(Oid function)
{
	switch (function)
	{
		case F_TABLE_TO_XML:
		case F_TABLE_TO_XML_AND_XMLSCHEMA:
		case F_SCHEMA_TO_XML:
		case F_SCHEMA_TO_XML_AND_XMLSCHEMA:
		case F_DATABASE_TO_XML:
		case F_DATABASE_TO_XML_AND_XMLSCHEMA:
			return true;
		default:
			return function >= FirstNormalObjectId;
	}
}

typedef struct FunctionCheck
{
	DcAnalysis *analysis;
	Oid			volatile_function;
	Oid			session_function;
} FunctionCheck;

static bool
function_checker(Oid function, void *context)
{
	FunctionCheck *check = context;

	if (depends_on_session(function))
	{
		check->session_function = function;
		return true;
	}
	switch (func_volatile(function))
	{
		case PROVOLATILE_VOLATILE:
			check->volatile_function = function;
			return true;
		case PROVOLATILE_STABLE:
			check->analysis->uses_clock = true;
			if (reads_tables(function))
				check->analysis->stable_functions =
					list_append_unique_oid(check->analysis->stable_functions,
										   function);
			break;
		default:
			break;
	}
	return false;
}

static bool
check_walker(Node *node, DcAnalysis *analysis)
{
	FunctionCheck check = {.analysis = analysis};

	if (node == NULL)
		return false;

	if (IsA(node, Query))
	{
		check_query((Query *) node, analysis);
		return false;
	}

	/* nextval() has a node of its own */
	if (IsA(node, NextValueExpr))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a widget's query must not use volatile functions"),
				 errdetail("It draws from a sequence.")));
	if (IsA(node, SQLValueFunction))
	{
		SQLValueFunction *function = (SQLValueFunction *) node;

		if (function->op == SVFOP_SESSION_USER)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("a widget's query must not depend on the session that runs it"),
					 errdetail("SESSION_USER differs between sessions, the cached answer does not."),
					 query_position(function->location)));
		analysis->uses_clock = true;
	}
	if (IsA(node, Param) &&
		((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid == 2)
		analysis->uses_params = true;

	if (IsA(node, TableSampleClause) &&
		((TableSampleClause *) node)->repeatable == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a widget's query must not draw a random sample"),
				 errhint("Add REPEATABLE to TABLESAMPLE.")));

	if (check_functions_in_node(node, function_checker, &check))
	{
		if (OidIsValid(check.volatile_function))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("a widget's query must not use volatile functions"),
					 errdetail("Function %s is volatile.",
							   format_procedure(check.volatile_function)),
					 errhint("If it gives the same result for the same data, declare it STABLE or IMMUTABLE."),
					 query_position(exprLocation(node))));
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a widget's query must not depend on the session that runs it"),
				 errdetail("The result of %s differs between sessions, the cached answer does not.",
						   format_procedure(check.session_function)),
				 errhint("Pass the value in params, as $2."),
				 query_position(exprLocation(node))));
	}

	return expression_tree_walker(node, check_walker, analysis);
}

/* Refuse what writes, what is random, and what belongs to one session. */
static void
check_query(Query *query, DcAnalysis *analysis)
{
	ListCell   *lc;

	/* the position of a writing CTE is that of its name */
	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (IsA(cte->ctequery, Query) &&
			((Query *) cte->ctequery)->commandType != CMD_SELECT)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a widget's query must not write"),
					 errdetail("WITH query \"%s\" modifies data.", cte->ctename),
					 query_position(cte->location)));
	}
	if (query->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must be one SELECT"),
				 errdetail("SELECT INTO and CREATE TABLE AS are not.")));
	if (query->rowMarks != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query must not lock rows"),
				 errhint("Leave out FOR UPDATE or FOR SHARE.")));

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind == RTE_RELATION &&
			get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a widget's query must not read temporary tables"),
					 errdetail("Table \"%s\" is temporary: other sessions do not have it.",
							   get_rel_name(rte->relid))));
	}

	query_tree_walker(query, check_walker, analysis, 0);
}

/* Can the query return no more than one row? */
static bool
returns_one_row(const Query *query)
{
	if (query->hasTargetSRFs)
		return false;
	if (query->limitCount != NULL && IsA(query->limitCount, Const) &&
		query->limitOption == LIMIT_OPTION_COUNT)
	{
		Const	   *limit = (Const *) query->limitCount;

		if (!limit->constisnull && DatumGetInt64(limit->constvalue) <= 1)
			return true;
	}
	if (query->setOperations != NULL)
		return false;
	if ((query->hasAggs || query->havingQual != NULL) &&
		query->groupClause == NIL && query->groupingSets == NIL)
		return true;
	return query->jointree->fromlist == NIL;
}

/*-------------------------------------------------------------------------
 * Tenant keys
 *-------------------------------------------------------------------------
 */

/* Is the range table entry somewhere below this node of the join tree? */
static bool
jointree_contains(Node *node, int rti)
{
	ListCell   *lc;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == rti;
	if (IsA(node, JoinExpr))
		return jointree_contains(((JoinExpr *) node)->larg, rti) ||
			jointree_contains(((JoinExpr *) node)->rarg, rti);

	foreach(lc, castNode(FromExpr, node)->fromlist)
	{
		if (jointree_contains(lfirst(lc), rti))
			return true;
	}
	return false;
}

/* The conditions that apply to a table: see the file header. */
static List *
conditions_on(Node *node, int rti, List *conditions)
{
	ListCell   *lc;

	if (node == NULL || IsA(node, RangeTblRef))
		return conditions;

	if (IsA(node, FromExpr))
	{
		FromExpr   *from = (FromExpr *) node;

		if (from->quals != NULL)
			conditions = lappend(conditions, from->quals);
		foreach(lc, from->fromlist)
		{
			if (jointree_contains(lfirst(lc), rti))
				conditions = conditions_on(lfirst(lc), rti, conditions);
		}
	}
	else
	{
		JoinExpr   *join = castNode(JoinExpr, node);
		bool		left = jointree_contains(join->larg, rti);
		bool		applies;

		switch (join->jointype)
		{
			case JOIN_INNER:
				applies = true;
				break;
			case JOIN_LEFT:
				applies = !left;
				break;
			case JOIN_RIGHT:
				applies = left;
				break;
			default:
				applies = false;
				break;
		}
		if (applies && join->quals != NULL)
			conditions = lappend(conditions, join->quals);
		conditions = conditions_on(left ? join->larg : join->rarg, rti,
								   conditions);
	}
	return conditions;
}

/* The hash operator family in which an operator is equality, if any. */
static Oid
hash_family_of(Oid operator)
{
	CatCList   *list = SearchSysCacheList1(AMOPOPID, ObjectIdGetDatum(operator));
	Oid			family = InvalidOid;

	for (int i = 0; i < list->n_members && !OidIsValid(family); i++)
	{
		Form_pg_amop amop = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (amop->amopmethod == HASH_AM_OID &&
			amop->amopstrategy == HTEqualStrategyNumber)
			family = amop->amopfamily;
	}
	ReleaseSysCacheList(list);
	return family;
}

/*
 * Is this expression a column of the level or $1?  Looks through join aliases
 * and through casts that leave the bytes as they are.
 */
static bool
term_of(const Query *query, Node *node, Term *term)
{
	for (;;)
	{
		if (node != NULL && IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (node != NULL && IsA(node, Var) &&
				 ((Var *) node)->varlevelsup == 0)
		{
			Var		   *var = (Var *) node;
			RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);

			if (rte->rtekind == RTE_JOIN && var->varattno > 0)
				node = list_nth(rte->joinaliasvars, var->varattno - 1);
			else
			{
				term->varno = var->varno;
				term->attno = var->varattno;
				return var->varattno > 0;
			}
		}
		else if (node != NULL && IsA(node, Param))
		{
			Param	   *param = (Param *) node;

			term->varno = 0;
			term->attno = 0;
			return param->paramkind == PARAM_EXTERN && param->paramid == 1;
		}
		else
			return false;
	}
}

static List *
add_equalities(const Query *query, Node *condition, List *equalities)
{
	OpExpr	   *op;
	Equality   *equality;
	ListCell   *lc;

	if (condition == NULL)
		return equalities;
	if (IsA(condition, List))
	{
		foreach(lc, (List *) condition)
			equalities = add_equalities(query, lfirst(lc), equalities);
		return equalities;
	}
	if (is_andclause(condition))
		return add_equalities(query, (Node *) ((BoolExpr *) condition)->args,
							  equalities);
	if (!IsA(condition, OpExpr))
		return equalities;

	op = (OpExpr *) condition;
	equality = palloc0(sizeof(Equality));
	equality->family = hash_family_of(op->opno);
	equality->collation = op->inputcollid;
	if (list_length(op->args) == 2 &&
		OidIsValid(equality->family) &&
		op_strict(op->opno) &&
		term_of(query, linitial(op->args), &equality->side[0]) &&
		term_of(query, lsecond(op->args), &equality->side[1]) &&
		get_op_hash_functions(op->opno, &equality->hash[0], &equality->hash[1]))
		equalities = lappend(equalities, equality);
	return equalities;
}

/*
 * May an equality be followed from another one?  They have to be of one
 * family, and mean the same by "equal" as far as collations go.
 */
static bool
compatible(const Equality *a, const Equality *b)
{
	if (a->family != b->family)
		return false;
	if (a->collation == b->collation)
		return true;
	return OidIsValid(a->collation) && OidIsValid(b->collation) &&
		get_collation_isdeterministic(a->collation) &&
		get_collation_isdeterministic(b->collation);
}

/* Find the column of a table that must equal $1; false if there is none. */
static bool
find_key(const Query *query, int rti, DcSource *source)
{
	List	   *conditions = conditions_on((Node *) query->jointree, rti, NIL);
	List	   *equalities = NIL;
	List	   *reached = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, conditions)
		equalities = add_equalities(query, lfirst(lc), equalities);

	/*
	 * Begin with each equality that has $1 on one side, and follow what has
	 * the other side in common until the table is reached.
	 */
	foreach(lc, equalities)
	{
		Equality   *first = lfirst(lc);
		int			tenant_side;
		Term		start;

		if (first->side[0].varno == 0)
			tenant_side = 0;
		else if (first->side[1].varno == 0)
			tenant_side = 1;
		else
			continue;

		start = first->side[1 - tenant_side];
		if (start.varno == rti)
		{
			source->key = start.attno;
			source->key_hash = first->hash[1 - tenant_side];
			source->tenant_hash = first->hash[tenant_side];
			source->collation = first->collation;
			return true;
		}

		foreach(lc2, equalities)
			((Equality *) lfirst(lc2))->used = false;
		reached = list_make1(memcpy(palloc(sizeof(Term)), &start, sizeof(Term)));

		foreach(lc2, reached)
		{
			Term	   *from = lfirst(lc2);
			ListCell   *lc3;

			foreach(lc3, equalities)
			{
				Equality   *next = lfirst(lc3);
				int			near;

				if (next->used || !compatible(first, next))
					continue;
				if (next->side[0].varno == from->varno &&
					next->side[0].attno == from->attno)
					near = 0;
				else if (next->side[1].varno == from->varno &&
						 next->side[1].attno == from->attno)
					near = 1;
				else
					continue;
				next->used = true;
				if (next->side[1 - near].varno == rti)
				{
					source->key = next->side[1 - near].attno;
					source->key_hash = next->hash[1 - near];
					source->tenant_hash = first->hash[tenant_side];
					source->collation = first->collation;
					return true;
				}
				if (next->side[1 - near].varno != 0)
					reached = lappend(reached, &next->side[1 - near]);
			}
		}
	}
	return false;
}

/*-------------------------------------------------------------------------
 * Equal tenants
 *
 * 'ACME' and 'acme' are one tenant if the column is citext.  They may share an
 * answer if the query compares $1 and does nothing else with it.
 *-------------------------------------------------------------------------
 */

typedef struct TenantUse
{
	int			uses;
	int			compared;
	Oid			family;
	Oid			collation;
} TenantUse;

static bool
is_tenant(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node != NULL && IsA(node, Param) &&
		((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid == 1;
}

static bool
tenant_use_walker(Node *node, TenantUse *use)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, tenant_use_walker, use, 0);
	if (IsA(node, Param) && is_tenant(node))
		use->uses++;
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2)
	{
		OpExpr	   *op = (OpExpr *) node;
		Oid			family = hash_family_of(op->opno);
		bool		first = use->compared == 0;

		if (OidIsValid(family) &&
			is_tenant(linitial(op->args)) != is_tenant(lsecond(op->args)) &&
			(first || (family == use->family && op->inputcollid == use->collation)))
		{
			use->compared++;
			use->family = family;
			use->collation = op->inputcollid;
		}
	}
	return expression_tree_walker(node, tenant_use_walker, use);
}

/* Are values of this type equal only if they are the same bytes? */
static bool
equal_means_identical(Oid type, Oid collation)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case UUIDOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case BYTEAOID:
			return true;
		case TEXTOID:
		case VARCHAROID:
			return !OidIsValid(collation) || get_collation_isdeterministic(collation);
		default:
			return type_is_enum(type);
	}
}

static void
find_tenant_equality(Query *query, DcAnalysis *analysis)
{
	TenantUse	use = {0};
	Oid			type = getBaseType(analysis->tenant_type);
	Oid			operator;

	(void) tenant_use_walker((Node *) query, &use);
	if (use.compared == 0 || use.compared != use.uses ||
		equal_means_identical(type, use.collation))
		return;

	operator = get_opfamily_member(use.family, type, type, HTEqualStrategyNumber);
	analysis->tenant_hash = get_opfamily_proc(use.family, type, type,
											  HASHSTANDARD_PROC);
	if (!OidIsValid(operator) || !OidIsValid(analysis->tenant_hash))
		return;
	analysis->tenant_equal = get_opcode(operator);
	analysis->tenant_collation = use.collation;
}

/*-------------------------------------------------------------------------
 * Sources
 *-------------------------------------------------------------------------
 */

static void
note_column(Level *level, int varno, AttrNumber attno)
{
	DcColumns  *columns = &level->columns[varno];

	/* a whole row, or a system column, changes with every update */
	if (attno <= 0)
		columns->all = true;
	else
		columns->attnums = bms_add_member(columns->attnums, attno);
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
		if (source->relid == found->relid &&
			source->invalidation == found->invalidation &&
			source->key == found->key &&
			source->key_hash == found->key_hash &&
			source->tenant_hash == found->tenant_hash &&
			source->collation == found->collation)
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

static void
finish_relation(Level *level, int rti, DcAnalysis *analysis)
{
	RangeTblEntry *rte = rt_fetch(rti, level->query->rtable);
	DcSource	source;

	memset(&source, 0, sizeof(source));
	source.relid = rte->relid;
	source.columns = level->columns[rti];

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
		source.invalidation = DC_INVALIDATION_TTL;
		source.reason = "a materialized view cannot have triggers";
	}
	else if (rte->relkind == RELKIND_PARTITIONED_TABLE ||
			 has_subclass(rte->relid) || has_superclass(rte->relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a widget's query cannot read partitioned or inherited tables"),
				 errdetail("Table \"%s\" is one.", get_rel_name(rte->relid))));
	else if (find_key(level->query, rti, &source))
		source.invalidation = DC_INVALIDATION_ROW;
	else
	{
		source.invalidation = DC_INVALIDATION_ANY;
		source.reason = "no condition on $1 reaches it";
	}
	add_source(analysis, &source);
}

static void
finish_level(Node *node, Level *level, DcAnalysis *analysis)
{
	ListCell   *lc;

	if (node == NULL)
		return;
	if (IsA(node, RangeTblRef))
	{
		int			rti = ((RangeTblRef *) node)->rtindex;

		if (rt_fetch(rti, level->query->rtable)->rtekind == RTE_RELATION)
			finish_relation(level, rti, analysis);
	}
	else if (IsA(node, JoinExpr))
	{
		finish_level(((JoinExpr *) node)->larg, level, analysis);
		finish_level(((JoinExpr *) node)->rarg, level, analysis);
	}
	else
	{
		foreach(lc, castNode(FromExpr, node)->fromlist)
			finish_level(lfirst(lc), level, analysis);
	}
}

static void
search_level(Query *query, SearchContext *context)
{
	SearchContext inner = *context;
	Level		level;

	level.parent = context->level;
	level.query = query;
	level.columns = palloc0(sizeof(DcColumns) * (list_length(query->rtable) + 1));
	inner.level = &level;
	query_tree_walker(query, search_walker, &inner, QTW_IGNORE_JOINALIASES);
	finish_level((Node *) query->jointree, &level, context->analysis);
}

static bool
search_walker(Node *node, SearchContext *context)
{
	if (node == NULL)
		return false;

	if (IsA(node, Query))
	{
		search_level((Query *) node, context);
		return false;
	}
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		SearchContext at = *context;
		RangeTblEntry *rte;

		for (Index up = var->varlevelsup; up > 0; up--)
			at.level = at.level->parent;
		rte = rt_fetch(var->varno, at.level->query->rtable);
		if (rte->rtekind == RTE_RELATION)
			note_column(at.level, var->varno, var->varattno);
		else if (rte->rtekind == RTE_JOIN)
		{
			/* the join's columns are read where they come from */
			if (var->varattno > 0)
				return search_walker(list_nth(rte->joinaliasvars,
											  var->varattno - 1), &at);
			return expression_tree_walker((Node *) rte->joinaliasvars,
										  search_walker, &at);
		}
		return false;
	}
	return expression_tree_walker(node, search_walker, context);
}

/*
 * Analyse a widget's query, as the current user and under the current
 * settings.  Throws, with the position in the query, if it cannot be cached.
 * The result is in the current memory context; the sources' order is that of
 * their appearance.
 */
DcAnalysis *
dc_analyze_query(const char *query)
{
	DcAnalysis *analysis = palloc0(sizeof(DcAnalysis));
	QueryText text = {.query = query};
	ErrorContextCallback callback;
	Query	   *parsed;
	List	   *rewritten;
	SearchContext context = {.analysis = analysis};

	callback.callback = query_error_callback;
	callback.arg = &text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	parsed = parse_query(query, &analysis->tenant_type);
	check_query(parsed, analysis);
	analysis->one_row = returns_one_row(parsed);
	analysis->ncolumns = ExecCleanTargetListLength(parsed->targetList);

	rewritten = QueryRewrite(copyObject(parsed));
	if (list_length(rewritten) != 1)
		elog(ERROR, "unexpected rewrite of a SELECT");

	text.		rewritten = true;

	check_query(linitial(rewritten), analysis);
	dc_check_select_permissions(linitial(rewritten), query);
	search_level(linitial(rewritten), &context);
	find_tenant_equality(linitial(rewritten), analysis);

	error_context_stack = callback.previous;

	return analysis;
}
