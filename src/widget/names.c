/*-------------------------------------------------------------------------
 *
 * names.c
 *		Following tables and columns that are renamed.
 *
 * A widget's query is text, and tables and columns are renamed.  Before the
 * command it is noted where in the text which of them is named, and after it what
 * has another name, or is found no more, is given its new one.  A table without an
 * alias gets its old name for one, and a column in a select list without AS, too,
 * so that the rest of the query, and the answer, stay as they are.
 *
 * The text is changed, and not made anew from what the server has understood: that
 * would lose the types of parameters, and what was written for readers.
 *
 * Whether this has worked is for the parser to say: the new text has to be the same
 * query, but for what is called by which name, and to have columns of the same names.
 * If not, the query is left alone, and is a problem to be mended by
 * dashcache_define().  NATURAL JOIN and USING want equal names, say; and a new name
 * may be that of something nearer, so that what was compared with the tenant would
 * now be compared with itself.
 *
 * Locking: dashcache.widget's row, as redo.c does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/names.h"

#include "attempt.h"
#include "widget/analyze.h"
#include "widget/catalog.h"
#include "widget/settings.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "parser/scansup.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* A place in a query where a table or a column is named. */
typedef struct QueryName
{
	int			location;
	Oid			relid;
	AttrNumber	column;			/* 0: it is the table */
	const char *old;
	RangeVar   *table;			/* as it is named */
	bool		bare;			/* a table without alias, a column without AS */
} QueryName;

/* A widget's query before the command. */
typedef struct Noted
{
	uint32		widget;
	Oid			owner;
	char	   *query;
	DcSettings	settings;
	DcRoles		roles;			/* whose code it may run */
	List	   *names;			/* of QueryName, by location */
	Query	   *meaning;		/* without names */
	List	   *columns;		/* names of what it returns */
	Oid			tenant_type;
} Noted;

/* What was noted before the command that runs; NIL: nothing. */
static List *noted_widgets = NIL;

static void
forget_noted(void *arg)
{
	noted_widgets = NIL;
}

/*-------------------------------------------------------------------------
 * What a query names
 *-------------------------------------------------------------------------
 */

/* A column as it is mentioned in a SELECT. */
typedef struct Mention
{
	ColumnRef  *column;
	SelectStmt *select;
} Mention;

typedef struct Search
{
	SelectStmt *select;			/* the one that is looked at */
	List	   *tables;			/* of RangeVar */
	List	   *with;			/* names of WITH queries */
	List	   *unnamed;		/* locations of columns in select lists */
	List	   *mentions;		/* of Mention */
	List	   *outputs;		/* of ColumnRef: those that name an output
								 * column */
	List	   *levels;			/* of Query, the innermost first */
	List	   *names;			/* of QueryName: columns */
} Search;

/* The name of a column in the select list, where it is told without looking far. */
static const char *
output_name(const ResTarget *target)
{
	Node	   *last;

	if (target->name != NULL || !IsA(target->val, ColumnRef))
		return target->name;
	last = llast(((ColumnRef *) target->val)->fields);
	return IsA(last, String) ? strVal(last) : NULL;
}

/* ORDER BY and DISTINCT ON take a lone name for that of an output column first. */
static void
search_outputs(SelectStmt *select, Node *node, Search *search)
{
	ListCell   *lc;

	if (node == NULL || !IsA(node, ColumnRef) ||
		list_length(((ColumnRef *) node)->fields) != 1 ||
		!IsA(linitial(((ColumnRef *) node)->fields), String))
		return;
	foreach(lc, select->targetList)
	{
		const char *name = output_name(lfirst(lc));

		if (name != NULL && strcmp(name, strVal(linitial(((ColumnRef *) node)->fields))) == 0)
			search->outputs = lappend(search->outputs, node);
	}
}

static bool search_select(SelectStmt *select, Search *search);

static bool
search_text(Node *node, Search *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, SelectStmt))
		return search_select((SelectStmt *) node, search);
	if (IsA(node, ColumnRef))
	{
		Mention    *mention = palloc(sizeof(Mention));

		mention->column = (ColumnRef *) node;
		mention->select = search->select;
		search->mentions = lappend(search->mentions, mention);
	}
	if (IsA(node, RangeVar))
		search->tables = lappend(search->tables, node);
	else if (IsA(node, CommonTableExpr))
		search->with = lappend(search->with, ((CommonTableExpr *) node)->ctename);
	else if (IsA(node, ResTarget) && ((ResTarget *) node)->name == NULL &&
			 IsA(((ResTarget *) node)->val, ColumnRef))
		search->unnamed = lappend_int(search->unnamed,
									  ((ColumnRef *) ((ResTarget *) node)->val)->location);
	return raw_expression_tree_walker(node, search_text, search);
}

static bool
search_select(SelectStmt *select, Search *search)
{
	SelectStmt *outer = search->select;
	ListCell   *lc;
	bool		stop;

	search->select = select;
	foreach(lc, select->sortClause)
		search_outputs(select, ((SortBy *) lfirst(lc))->node, search);
	foreach(lc, select->distinctClause)
		search_outputs(select, lfirst(lc), search);
	stop = raw_expression_tree_walker((Node *) select, search_text, search);
	search->select = outer;
	return stop;
}

static QueryName *
name_at(const Search *search, int location)
{
	ListCell   *lc;

	foreach(lc, search->names)
	{
		if (((QueryName *) lfirst(lc))->location == location)
			return lfirst(lc);
	}
	return NULL;
}

static void
search_var(const Var *var, Search *search)
{
	Query	   *query = list_nth(search->levels, var->varlevelsup);
	RangeTblEntry *rte = rt_fetch(var->varno, query->rtable);
	QueryName  *name;

	if (rte->rtekind != RTE_RELATION || var->varattno <= 0 ||
		var->location < 0 || name_at(search, var->location) != NULL)
		return;
	name = palloc0(sizeof(QueryName));
	name->location = var->location;
	name->relid = rte->relid;
	name->column = var->varattno;
	name->old = get_attname(rte->relid, var->varattno, false);
	name->bare = list_member_int(search->unnamed, var->location);
	search->names = lappend(search->names, name);
}

static bool
search_query(Node *node, Search *search)
{
	bool		stop;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		search_var((Var *) node, search);
		return false;
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, search_query, search);

	search->levels = lcons(node, search->levels);
	stop = query_tree_walker((Query *) node, search_query, search, QTW_IGNORE_JOINALIASES);
	search->levels = list_delete_first(search->levels);
	return stop;
}

/*
 * What GROUP BY and the like repeat of the select list is kept once only by the
 * server, so its other places are found by the text.
 */
static void
search_repeated(Search *search)
{
	List	   *more = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, search->mentions)
	{
		Mention    *mention = lfirst(lc);
		QueryName  *name;

		if (name_at(search, mention->column->location) != NULL ||
			list_member_ptr(search->outputs, mention->column))
			continue;
		foreach(lc2, search->mentions)
		{
			Mention    *other = lfirst(lc2);
			QueryName  *same = name_at(search, other->column->location);

			if (same == NULL || other->select != mention->select ||
				!equal(other->column->fields, mention->column->fields))
				continue;
			name = palloc(sizeof(QueryName));
			*name = *same;
			name->location = mention->column->location;
			name->bare = false;
			more = lappend(more, name);
			break;
		}
	}
	search->names = list_concat(search->names, more);
}

static bool
is_with_query(const RangeVar *table, List *with)
{
	ListCell   *lc;

	foreach(lc, with)
	{
		if (table->schemaname == NULL && strcmp(table->relname, lfirst(lc)) == 0)
			return true;
	}
	return false;
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return ((QueryName *) lfirst(a))->location - ((QueryName *) lfirst(b))->location;
}

/*
 * Take out of a parsed query what things are called by, so that two can be compared
 * by what they mean.
 */
static bool
forget_names(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, forget_names, arg, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, RangeTblEntry))
	{
		((RangeTblEntry *) node)->alias = NULL;
		((RangeTblEntry *) node)->eref = NULL;
		return false;
	}
	if (IsA(node, CommonTableExpr))
		((CommonTableExpr *) node)->ctecolnames = NIL;
	else if (IsA(node, TargetEntry))
		((TargetEntry *) node)->resname = NULL;
	return expression_tree_walker(node, forget_names, arg);
}

/*
 * Find out what the query of "noted" names.  As its owner and under its settings;
 * throws if the query has an error.
 */
static void
find_names(Noted *noted)
{
	List	   *statements = raw_parser(noted->query, RAW_PARSE_DEFAULT);
	List	   *code;
	Query	   *query = dc_parse_query(noted->query, &noted->roles, &code,
									   &noted->tenant_type);
	Search		search = {0};
	ListCell   *lc;

	(void) search_text(((RawStmt *) linitial(statements))->stmt, &search);
	(void) search_query((Node *) query, &search);
	search_repeated(&search);
	foreach(lc, search.tables)
	{
		RangeVar   *table = lfirst(lc);
		QueryName  *name;

		if (is_with_query(table, search.with))
			continue;
		name = palloc0(sizeof(QueryName));
		name->location = table->location;
		name->relid = RangeVarGetRelid(table, NoLock, true);
		name->old = table->relname;
		name->table = table;
		name->bare = table->alias == NULL;
		search.names = lappend(search.names, name);
	}
	list_sort(search.names, compare_names);
	noted->names = search.names;
	noted->columns = NIL;
	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst(lc);

		if (!entry->resjunk)
			noted->columns = lappend(noted->columns, makeString(entry->resname));
	}
	(void) forget_names((Node *) query, NULL);
	noted->meaning = query;
}

/*-------------------------------------------------------------------------
 * Before the command
 *-------------------------------------------------------------------------
 */

static void
read_widget(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Noted	   *noted = arg;
	bool		isnull;

	noted->owner = DatumGetObjectId(heap_getattr(tuple, DC_WIDGET_OWNER, desc, &isnull));
	noted->query = TextDatumGetCString(heap_getattr(tuple, DC_WIDGET_QUERY, desc, &isnull));
	noted->settings = dc_settings_from_array(heap_getattr(tuple, DC_WIDGET_SETTINGS, desc, &isnull));
	noted->roles = dc_roles_from_array(heap_getattr(tuple, DC_WIDGET_ROLES, desc, &isnull));
}

static void
note_widget(void *arg)
{
	Noted	   *noted = arg;
	DcAsOwner	work;

	dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
					Int32GetDatum(noted->widget), read_widget, noted);
	if (noted->query == NULL)
		return;
	dc_owner_begin(&work, noted->owner, &noted->settings);
	find_names(noted);
	dc_owner_end(&work);
}

/* Take a step with one of them; false if it has failed. */
static bool
try_step(DcAttempt step, Noted *noted)
{
	return dc_attempt_query(step, noted) == NULL;
}

/*
 * A command begins that gives another name to what these widgets may read (NIL: or
 * does no such thing).  Those whose queries have an error are left alone.
 */
void
dc_names_note(List *widgets)
{
	MemoryContext context;
	MemoryContext old;
	MemoryContextCallback *callback;
	ListCell   *lc;

	noted_widgets = NIL;
	if (widgets == NIL)
		return;
	context = AllocSetContextCreate(CurTransactionContext, "dashcache names",
									ALLOCSET_DEFAULT_SIZES);
	callback = MemoryContextAllocZero(context, sizeof(MemoryContextCallback));
	callback->func = forget_noted;
	MemoryContextRegisterResetCallback(context, callback);
	old = MemoryContextSwitchTo(context);
	foreach(lc, widgets)
	{
		Noted	   *noted = palloc0(sizeof(Noted));

		noted->widget = lfirst_int(lc);
		if (try_step(note_widget, noted) && noted->query != NULL)
			noted_widgets = lappend(noted_widgets, noted);
	}
	MemoryContextSwitchTo(old);
}

/*-------------------------------------------------------------------------
 * After it
 *-------------------------------------------------------------------------
 */

static const char *
skip_space(const char *at)
{
	while (scanner_isspace(*at))
		at++;
	return at;
}

/* The end of an identifier; NULL if there is none, or none that we can tell. */
static const char *
end_of_identifier(const char *at)
{
	if (*at == '"')
	{
		for (at++; *at != '\0'; at++)
		{
			if (*at == '"' && *++at != '"')
				return at;
		}
		return NULL;
	}
	if ((*at == 'U' || *at == 'u') && at[1] == '&')
		return NULL;
	if (!isalpha((unsigned char) *at) && *at != '_' && !IS_HIGHBIT_SET(*at))
		return NULL;
	while (isalnum((unsigned char) *at) || *at == '_' || *at == '$' || IS_HIGHBIT_SET(*at))
		at++;
	return at;
}

/* The same of identifiers with dots between; "last" is set to the last of them. */
static const char *
end_of_name(const char *at, const char **last)
{
	for (;;)
	{
		const char *end = end_of_identifier(at);
		const char *dot = end == NULL ? NULL : skip_space(end);

		*last = at;
		if (dot == NULL || *dot != '.')
			return end;
		at = skip_space(dot + 1);
	}
}

/* Does an identifier in a text mean this name? */
static bool
identifier_is(const char *from, const char *end, const char *name)
{
	StringInfoData unquoted;

	if (*from != '"')
		return strcmp(downcase_truncate_identifier(from, end - from, false), name) == 0;
	initStringInfo(&unquoted);
	for (from++; from < end - 1; from++)
	{
		appendStringInfoChar(&unquoted, *from);
		if (*from == '"')
			from++;
	}
	return strcmp(unquoted.data, name) == 0;
}

/* The name that a table or a column has now; NULL: the one in the text will do. */
static const char *
new_name(const QueryName *name)
{
	char	   *relname;

	if (name->column != 0)
	{
		char	   *column = get_attname(name->relid, name->column, true);

		return column == NULL || strcmp(column, name->old) == 0 ? NULL : quote_identifier(column);
	}
	relname = get_rel_name(name->relid);
	if (relname == NULL || RangeVarGetRelid(name->table, NoLock, true) == name->relid)
		return NULL;
	/* who has said where it is did not want it looked for */
	if (name->table->schemaname == NULL && RelationIsVisible(name->relid))
		return quote_identifier(relname);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(name->relid)),
									  relname);
}

/*
 * The query with the names that are right now; NULL if they all were, or we do not
 * know how to change one.
 */
static char *
renamed_query(const Noted *noted)
{
	StringInfoData text;
	const char *done = noted->query;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, noted->names)
	{
		QueryName  *name = lfirst(lc);
		const char *from = noted->query + name->location;
		const char *last;
		const char *end;
		const char *now = new_name(name);

		if (now == NULL)
			continue;
		end = end_of_name(from, &last);
		/* all columns, of which this is one: "EXISTS (SELECT * ...", say */
		if (*last == '*')
			continue;
		if (from < done || end == NULL || !identifier_is(last, end, name->old))
			return NULL;
		if (name->column != 0)
			from = last;
		appendBinaryStringInfo(&text, done, from - done);
		appendStringInfoString(&text, now);
		if (name->bare && (name->column != 0 || strcmp(get_rel_name(name->relid), name->old) != 0))
			appendStringInfo(&text, " AS %s", quote_identifier(name->old));
		done = end;
	}
	if (done == noted->query)
		return NULL;
	appendStringInfoString(&text, done);
	return text.data;
}

static void
follow(void *arg)
{
	Noted	   *noted = arg;
	Noted		now = {.widget = noted->widget,.roles = noted->roles};
	DcAsOwner	as_owner;
	DcCatalogWork work;
	Oid			types[3] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[3];

	dc_owner_begin(&as_owner, noted->owner, &noted->settings);
	now.query = renamed_query(noted);
	if (now.query != NULL)
		find_names(&now);
	dc_owner_end(&as_owner);
	if (now.query == NULL || now.tenant_type != noted->tenant_type ||
		!equal(now.columns, noted->columns) || !equal(now.meaning, noted->meaning))
		return;

	dc_catalog_lock_widget(noted->widget);
	values[0] = Int32GetDatum(noted->widget);
	values[1] = CStringGetTextDatum(now.query);
	values[2] = CStringGetTextDatum(noted->query);
	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.widget SET query = $2 WHERE id = $1 AND query = $3",
					   3, types, values, NULL);
	dc_catalog_end(&work);
	dc_catalog_changed();
}

/*
 * The command has ended: change the queries of the widgets that were noted, as is
 * needed.  It is for the caller to look at the widgets again (redo.c).
 */
void
dc_names_follow(void)
{
	ListCell   *lc;

	foreach(lc, noted_widgets)
		(void) try_step(follow, lfirst(lc));
	noted_widgets = NIL;
}
