/*-------------------------------------------------------------------------
 *
 * dashboards.c
 *		One dashboard after another, whatever is the matter with some.
 *
 * A definition that cannot be read, or a tenant that cannot be written down, is
 * one dashboard's trouble, and must not keep the others from being warmed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "warm/dashboards.h"

#include "warm/task.h"
#include "widget/catalog.h"

typedef struct Reading
{
	const char *name;
	DcDashboardReader reader;
	void	   *arg;
} Reading;

static void
read_one(void *arg)
{
	Reading    *reading = arg;
	DcDashboard *dashboard = dc_metacache_dashboard(reading->name);

	if (dashboard != NULL)
		reading->reader(dashboard, reading->arg);
}

/*
 * Call "reader" for the dashboard of that name, or (NULL) for each, in a
 * subtransaction of its own.  One that fails is logged and passed over; returns
 * the first message of these, or NULL.
 */
char *
dc_dashboards_each(const char *name, DcDashboardReader reader, void *arg)
{
	List	   *names = name != NULL ? list_make1(unconstify(char *, name)) :
	dc_catalog_dashboards();
	char	   *first_error = NULL;
	ListCell   *lc;

	foreach(lc, names)
	{
		Reading		reading = {lfirst(lc), reader, arg};
		char	   *error = dc_task_attempt(read_one, &reading,
											psprintf("look at dashboard \"%s\"", reading.name));

		if (first_error == NULL)
			first_error = error;
	}
	return first_error;
}
