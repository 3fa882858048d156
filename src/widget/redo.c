/*-------------------------------------------------------------------------
 *
 * redo.c
 *		Looking at a widget again.
 *
 * What a query reads depends on the tables, views and functions that it names.
 * When one of them changes, the widget is analysed again, in the transaction
 * that changes it, and gets a new version: from the commit on its earlier
 * entries are not found any more, and after a rollback nothing has happened.
 * A widget that cannot be analysed any more, or whose sources cannot be
 * watched, is left with a note of the problem and is computed at each call.
 *
 * Locking: see api/define.c; but only sources that are now watched in another
 * way are locked against writers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/redo.h"

#include "attempt.h"
#include "widget/catalog.h"
#include "widget/code.h"
#include "widget/overrides.h"
#include "widget/source_rows.h"
#include "widget/triggers.h"
#include "widget/verified.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

/* Analyse a query as its owner, under the settings pinned with it. */
static DcAnalysis *
analyze_as_owner(Oid owner, const DcSettings *settings, const char *query,
				 const DcRoles *admitted)
{
	int			save_nestlevel = NewGUCNestLevel();
	Oid			save_user;
	int			save_context;
	DcAnalysis *analysis;

	GetUserIdAndSecContext(&save_user, &save_context);
	if (owner != save_user)
		SetUserIdAndSecContext(owner,
							   save_context | SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
	dc_settings_pin(settings);
	analysis = dc_analyze_query(query, admitted);
	AtEOXact_GUC(false, save_nestlevel);
	SetUserIdAndSecContext(save_user, save_context);
	return analysis;
}

/*
 * Analyse a query as its owner, under the settings pinned with it, and say which
 * roles have a part in it, and what they were like before that.  The owners of
 * what the query runs are added to the roles; unless "admit" says that they are
 * welcome, throws if that is somebody who is neither among them nor trusted anyway.
 */
DcAnalysis *
dc_redo_analysis(Oid owner, const DcSettings *settings, const char *query,
				 DcRoles *roles, DcStanding *standing, bool admit)
{
	DcAnalysis *analysis;
	int			n;

	dc_roles_add(roles, owner);
	do
	{
		n = roles->n;
		*standing = dc_standing_read(roles);
		analysis = analyze_as_owner(owner, settings, query, admit ? NULL : roles);
		dc_code_admit(analysis->code, roles);
	} while (roles->n > n);
	return analysis;
}

/*
 * Decide what a widget watches, from its analysis and the overrides: install
 * the triggers and write the rows, which are returned.
 */
List *
dc_redo_sources(uint32 widget, DcAnalysis *analysis)
{
	List	   *rows = dc_overrides_apply(widget, analysis);
	DcCatalogWork work;

	dc_triggers_install(rows, dc_source_rows_of(widget));
	dc_catalog_begin(&work);
	dc_source_rows_write(widget, rows, analysis);
	dc_catalog_end(&work);
	dc_catalog_changed();
	return rows;
}

/* Give a widget a new version, and a problem or none, when all else is done. */
void
dc_redo_version(uint32 widget, uint64 version, const char *problem)
{
	DcCatalogWork work;
	Oid			types[3] = {INT4OID, XID8OID, TEXTOID};
	Datum		values[3];

	values[0] = Int32GetDatum(widget);
	values[1] = UInt64GetDatum(version);
	values[2] = problem == NULL ? (Datum) 0 : CStringGetTextDatum(problem);
	dc_catalog_begin(&work);
	/* the triggers must not go by what is no longer so */
	if (problem != NULL)
		dc_source_rows_clear(widget);
	dc_catalog_execute("UPDATE dashcache.widget SET version = $2, problem = $3 WHERE id = $1",
					   3, types, values, problem == NULL ? "  n" : "   ");
	dc_catalog_end(&work);
	dc_verified_set(widget, version);
}

/*
 * Note what else the analysis says of a widget: the type of $1, for one, is what
 * a column is compared with that may have another type by now.
 */
static void
write_meaning(uint32 widget, const DcAnalysis *analysis)
{
	DcCatalogWork work;
	Oid			types[8] = {INT4OID, OIDOID, OIDOID, OIDOID, OIDOID, BOOLOID,
	BOOLOID, BOOLOID};
	Datum		values[8];

	values[0] = Int32GetDatum(widget);
	values[1] = ObjectIdGetDatum(analysis->tenant_type);
	values[2] = ObjectIdGetDatum(analysis->tenant_equal);
	values[3] = ObjectIdGetDatum(analysis->tenant_hash);
	values[4] = ObjectIdGetDatum(analysis->tenant_collation);
	values[5] = BoolGetDatum(analysis->uses_params);
	values[6] = BoolGetDatum(analysis->uses_clock);
	values[7] = BoolGetDatum(analysis->stable_functions != NIL);
	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.widget SET tenant_type = $2, tenant_equal = $3, tenant_hash = $4,"
					   "  tenant_collation = $5, uses_params = $6, uses_clock = $7, reads_unseen = $8 WHERE id = $1",
					   8, types, values,
					   OidIsValid(analysis->tenant_equal) ? NULL : "  nnn   ");
	dc_catalog_end(&work);
}

/*
 * What roles have been like all the time since "before", to be written with a
 * widget; should that have changed meanwhile, it is to be found different.
 */
int64
dc_redo_standing(const DcRoles *roles, const DcStanding *before)
{
	DcStanding	after = dc_standing_read(roles);

	return after.rows == before->rows ? (int64) after.meaning : 0;
}

/*
 * Note the roles that have a part in a widget, and what they were like while it
 * was analysed.
 */
void
dc_redo_write_roles(uint32 widget, const DcRoles *roles, const DcStanding *before)
{
	DcCatalogWork work;
	Oid			types[3] = {INT4OID, REGROLEARRAYOID, INT8OID};
	Datum		values[3];

	values[0] = Int32GetDatum(widget);
	values[1] = dc_roles_to_array(roles);
	values[2] = Int64GetDatum(dc_redo_standing(roles, before));
	dc_catalog_begin(&work);
	dc_catalog_execute("UPDATE dashcache.widget SET roles = $2, standing = $3 WHERE id = $1",
					   3, types, values, NULL);
	dc_catalog_end(&work);
}

/* What is needed of a widget's row. */
typedef struct WidgetRow
{
	bool		found;
	bool		verified;
	char	   *problem;		/* NULL: none */
	Oid			owner;
	char	   *query;
	Oid			tenant_type;
	DcSettings	settings;
	DcRoles		roles;
	DcStanding	standing;		/* before it was looked at */
	bool		same_standing;	/* as is kept */
} WidgetRow;

static void
read_widget(HeapTuple tuple, TupleDesc desc, void *arg)
{
	WidgetRow  *row = arg;
	Datum		problem;
	bool		isnull;

	row->found = true;
	row->verified = dc_verified(DatumGetInt32(heap_getattr(tuple, DC_WIDGET_ID, desc, &isnull)),
								DatumGetUInt64(heap_getattr(tuple, DC_WIDGET_VERSION, desc, &isnull)));
	row->owner = DatumGetObjectId(heap_getattr(tuple, DC_WIDGET_OWNER, desc, &isnull));
	row->query = TextDatumGetCString(heap_getattr(tuple, DC_WIDGET_QUERY, desc, &isnull));
	row->tenant_type = DatumGetObjectId(heap_getattr(tuple, DC_WIDGET_TENANT_TYPE, desc, &isnull));
	row->settings = dc_settings_from_array(heap_getattr(tuple, DC_WIDGET_SETTINGS, desc, &isnull));
	row->roles = dc_roles_from_array(heap_getattr(tuple, DC_WIDGET_ROLES, desc, &isnull));
	row->standing = dc_standing_read(&row->roles);
	row->same_standing = row->standing.meaning ==
		(uint64) DatumGetInt64(heap_getattr(tuple, DC_WIDGET_STANDING, desc, &isnull));
	problem = heap_getattr(tuple, DC_WIDGET_PROBLEM, desc, &isnull);
	row->problem = isnull ? NULL : TextDatumGetCString(problem);
}

/* The first trigger of ours that does not fire, as a problem; or NULL. */
static char *
trigger_problem(List *rows)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, dc_triggers_relations(rows))
	{
		foreach(lc2, dc_triggers_family(lfirst_oid(lc)))
		{
			if (dc_triggers_on(lfirst_oid(lc2)) == DC_TRIGGERS_DISABLED)
				return psprintf("a trigger on table \"%s\" is disabled",
								get_rel_name(lfirst_oid(lc2)));
		}
	}
	return NULL;
}

static void
add_relation(HeapTuple tuple, TupleDesc desc, void *arg)
{
	List	  **relations = arg;
	bool		isnull;

	if (DatumGetChar(heap_getattr(tuple, DC_DEPENDENCY_KIND, desc, &isnull)) == 'r')
		*relations = lappend_oid(*relations,
								 DatumGetObjectId(heap_getattr(tuple,
															   DC_DEPENDENCY_OBJECT,
															   desc, &isnull)));
}

/* The relations that a widget depends on, and their partitions. */
static List *
relations_of(uint32 widget)
{
	List	   *relations = NIL;

	dc_catalog_scan(DC_TABLE_DEPENDENCY, DC_DEPENDENCY_WIDGET, INT4OID,
					Int32GetDatum(widget), add_relation, &relations);
	return relations;
}

/* What looking at a widget again has come to. */
typedef struct Outcome
{
	uint32		widget;
	const WidgetRow *row;
	bool		repair;			/* enable triggers that are disabled */
	DcAnalysis *analysis;		/* NULL: it failed */
	char	   *problem;
	bool		differs;		/* from what is kept about the widget */
	bool		incomplete;		/* a partition is new, or has no triggers */
	DcRoles		roles;			/* that have a part in it */
	DcStanding	standing;		/* theirs, before it was analysed */
} Outcome;

static void
look(void *arg)
{
	Outcome    *outcome = arg;
	uint32		widget = outcome->widget;
	const WidgetRow *row = outcome->row;
	List	   *rows;
	List	   *known;
	ListCell   *lc;

	outcome->analysis = dc_redo_analysis(row->owner, &row->settings, row->query,
										 &outcome->roles, &outcome->standing, false);
	rows = dc_overrides_apply(widget, outcome->analysis);
	if (!outcome->repair)
		outcome->problem = trigger_problem(rows);
	outcome->differs = !row->same_standing ||
		outcome->analysis->tenant_type != row->tenant_type ||
		!dc_triggers_same(rows, dc_source_rows_of(widget));
	outcome->incomplete = !dc_triggers_complete(rows);
	known = relations_of(widget);
	foreach(lc, dc_triggers_relations(rows))
		outcome->incomplete |= list_difference_oid(dc_triggers_family(lfirst_oid(lc)),
												   known) != NIL;
}

static void
write_outcome(void *arg)
{
	Outcome    *outcome = arg;
	uint32		widget = outcome->widget;
	Oid			save_user;
	int			save_context;
	List	   *before;

	if (outcome->problem != NULL)
		return;
	GetUserIdAndSecContext(&save_user, &save_context);
	SetUserIdAndSecContext(outcome->row->owner,
						   save_context | SECURITY_LOCAL_USERID_CHANGE);
	before = relations_of(widget);
	write_meaning(widget, outcome->analysis);
	(void) dc_redo_sources(widget, outcome->analysis);
	/* a partition that was detached, say, needs its triggers no more */
	dc_triggers_remove_unused(list_difference_oid(before, relations_of(widget)));
	SetUserIdAndSecContext(save_user, save_context);
}

/*
 * Take a step ("look" or "write_outcome"); should it fail, that is the outcome's
 * problem, and whoever runs the DDL has none.
 */
static void
try_step(DcAttempt step, Outcome *outcome)
{
	ErrorData  *error = dc_attempt_query(step, outcome);

	if (error == NULL)
		return;
	outcome->analysis = NULL;
	outcome->problem = error->message;
}

static bool
same_problem(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
init_outcome(Outcome *outcome, uint32 widget, const WidgetRow *row, bool repair)
{
	memset(outcome, 0, sizeof(*outcome));
	outcome->widget = widget;
	outcome->row = row;
	outcome->repair = repair;
	for (int i = 0; i < row->roles.n; i++)
	{
		/* the OID of one that was dropped may come to be another's */
		if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(row->roles.list[i])))
			dc_roles_add(&outcome->roles, row->roles.list[i]);
	}
	outcome->standing = row->standing;
}

/*
 * Look at a widget again.  With "if_different" it keeps its version, and so
 * its entries, if it turns out to watch the same as before; then nothing is
 * locked or written, unless triggers are missing.  With "repair" triggers that
 * were disabled by hand are enabled.  Returns whether it has a new version.
 */
bool
dc_redo_widget(uint32 widget, uint64 version, bool if_different, bool repair)
{
	WidgetRow	row = {0};
	Outcome		outcome;
	bool		keep;

	dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
					Int32GetDatum(widget), read_widget, &row);
	if (!row.found)
		return false;

	init_outcome(&outcome, widget, &row, repair);
	try_step(look, &outcome);
	keep = if_different && row.verified && row.same_standing &&
		same_problem(outcome.problem, row.problem) &&
		(outcome.problem != NULL || !outcome.differs);
	if (keep && (outcome.problem != NULL || !outcome.incomplete))
		return false;

	/* another session may have been at it: look again at what is there now */
	dc_catalog_lock_widget(widget);
	memset(&row, 0, sizeof(row));
	dc_catalog_scan(DC_TABLE_WIDGET, DC_WIDGET_ID, INT4OID,
					Int32GetDatum(widget), read_widget, &row);
	if (!row.found)
		return false;
	init_outcome(&outcome, widget, &row, repair);
	try_step(look, &outcome);
	if (outcome.problem == NULL)
		try_step(write_outcome, &outcome);

	/* a partition that has come brings no rows, so that entries may stay */
	if (keep && outcome.problem == NULL && !outcome.differs)
		return false;
	dc_redo_write_roles(widget, &outcome.roles, &outcome.standing);
	dc_redo_version(widget, version, outcome.problem);
	return true;
}
