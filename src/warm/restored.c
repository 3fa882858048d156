/*-------------------------------------------------------------------------
 *
 * restored.c
 *		Looking at definitions that come from elsewhere.
 *
 * A dump brings widgets, and pg_upgrade and a new library leave them, without
 * what was found out about them (see widget/verified.c).  A worker finds it out, a
 * widget in a transaction, and installs what is missing.
 *
 * A restore in progress is left alone: triggers that are there already would be
 * an error to it, and the indexes and foreign keys by which paths are found come
 * last.  So nothing is done while anybody is connected who restores, or is in the
 * middle of DDL; and not until some time after the last DDL (demand.c).
 *
 * Locking: as DDL does (widget/redo.c); but it waits for a lock for a moment only.
 * Whoever would have to wait for us, and has begun to, waits no longer than that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/restored.h"

#include "warm/cron.h"
#include "warm/task.h"
#include "widget/catalog.h"
#include "widget/redo.h"
#include "widget/role_use.h"
#include "widget/verified.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* The longest wait for a lock: well below deadlock_timeout, as usual. */
#define LOCK_TIMEOUT "200ms"

typedef struct Found
{
	MemoryContext context;
	List	   *widgets;		/* IDs, in the context */
	bool		busy;			/* somebody restores */
} Found;

/* Find out what there is to look at, and whether this is the time. */
static void
find(void *arg)
{
	Found	   *found = arg;
	MemoryContext old;
	DcCatalogWork work;

	if (!OidIsValid(get_extension_oid("dashcache", true)) || !dc_catalog_fits() ||
		!OidIsValid(dc_catalog_relid(DC_TABLE_VERIFIED)))
		return;
	old = MemoryContextSwitchTo(found->context);
	found->widgets = dc_unverified();
	MemoryContextSwitchTo(old);
	if (found->widgets == NIL)
		return;
	dc_catalog_begin(&work);
	found->busy =
		dc_catalog_execute("SELECT FROM pg_catalog.pg_stat_activity a"
						   " WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend'"
						   " AND (a.application_name = 'pg_restore' OR EXISTS ("
						   "  SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted"
						   "  AND l.locktype = 'relation' AND l.database = a.datid AND l.relation >= 16384"
						   "  AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')))",
						   0, NULL, NULL, NULL) > 0;
	dc_catalog_end(&work);
}

static void
look(void *arg)
{
	int			save_nestlevel = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) dc_redo_widget(*(int *) arg,
						  U64FromFullTransactionId(GetTopFullTransactionId()),
						  true, false);
	AtEOXact_GUC(false, save_nestlevel);
}

/* What others know about our definitions. */
static void
tell_others(void *arg)
{
	dc_role_use_tell();
	dc_cron_make_lost(GetUserId());
}

/*
 * Look at the widgets of this database that were not looked at yet.  False if
 * some are left, for another time.  Outside of a transaction.
 */
bool
dc_restored_look(void)
{
	Found		found = {.context = CurrentMemoryContext};
	char	   *error;
	bool		transient;
	bool		done = true;
	ListCell   *lc;

	if (!dc_task_run(find, &found, &error, &transient) || found.busy)
		return false;
	if (found.widgets == NIL)
		return true;
	foreach(lc, found.widgets)
		done &= dc_task_run(look, &lfirst_int(lc), &error, &transient);

	/* where there was a restore, these may not have been part of it */
	if (done)
		(void) dc_task_run(tell_others, NULL, &error, &transient);
	ereport(LOG,
			(errmsg("dashcache has looked at %d widgets that come from a dump, another server, or before a single-user session",
					list_length(found.widgets)),
			 done ? 0 : errdetail("Some are left, and will be tried again.")));
	return done;
}
