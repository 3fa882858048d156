/*-------------------------------------------------------------------------
 *
 * metacache.h
 *		What this backend knows of dashboards, widgets and sources.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_METACACHE_H
#define DASHCACHE_METACACHE_H

#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "consistency/dependencies.h"
#include "stats.h"
#include "widget/settings.h"
#include "widget/code.h"

/* How rows become JSON. */
typedef enum DcResultKind
{
	DC_RESULT_ROW,
	DC_RESULT_ROWS,
	DC_RESULT_VALUE
} DcResultKind;

/* Boundaries at which an answer ends. */
typedef enum DcAlign
{
	DC_ALIGN_NONE,
	DC_ALIGN_MINUTE,
	DC_ALIGN_HOUR,
	DC_ALIGN_DAY,
	DC_ALIGN_WEEK,
	DC_ALIGN_MONTH
} DcAlign;

/* The type of a widget's tenant. */
typedef struct DcTenantType
{
	Oid			type;
	int16		len;
	bool		byval;
	bool		by_equality;	/* may be equal without being the same bytes;
								 * see below */
	bool		calls_others;	/* its input may call functions of its owner's */
	bool		reads_settings; /* how it is written, and read, may depend on
								 * some */
	Oid			ioparam;
	FmgrInfo	input;
	FmgrInfo	output;

	/* "by_equality": what tells which are */
	FmgrInfo	equal;
	FmgrInfo	hash;
	Oid			collation;
} DcTenantType;

/* A watch, from the reader's side. */
typedef struct DcWatch
{
	uint64		hash;
	Oid			relid;
	bool		keyed;			/* else any change touches every tenant */
	bool		inherits;		/* a partition or child: written by its
								 * parent, too */
	FmgrInfo	tenant_hash;
	Oid			collation;
	int			same_hash;		/* the first watch that hashes tenants alike */
} DcWatch;

typedef struct DcWidget
{
	/* what a hit reads, in as few cache lines as it can be */
	char	   *name;
	uint32		name_len;
	uint32		id;
	uint64		version;
	DcSharedStats *stats;		/* NULL without shared memory */
	int64		max_stale_us;	/* 0: no answer but the right one */
	uint64		standing_checked;	/* generation; 0: not yet */
	Size		size;			/* of its latest answer, to make room at once */
	char	   *json_name;		/* quoted, and a colon: begins a member */
	uint32		json_name_len;
	bool		standing_same;	/* when it was checked */
	bool		never_cached;	/* ttl '0' */
	bool		uses_params;
	bool		uses_clock;
	bool		broken;			/* has a problem: is computed at each call */
	bool		untracked;		/* reads what no trigger watches, perhaps */
	DcRemembered remembered;	/* of lookup.c */
	DcTenantType tenant_type;

	Oid			owner;
	char	   *query;
	bool		has_ttl;
	Interval	ttl;
	DcAlign		align;
	DcResultKind result;
	char	  **tags;
	int			ntags;
	DcSettings	settings;
	DcWatch    *watches;
	int			nwatches;
	DcRoles		roles;			/* whose standing matters, and whose code is
								 * admitted */
	uint64		standing;		/* theirs, when it was last looked at */
	DcKeptPlan	plan;			/* of compute.c */
} DcWidget;

typedef struct DcDashboard
{
	char		name[NAMEDATALEN];	/* hash key */
	uint32		name_len;
	Oid			owner;
	DcWidget   *widgets;		/* in the order of their definition */
	int			nwidgets;
	Oid		   *grantees;
	int			ngrantees;
	char	   *guard;			/* a setting that must hold the tenant; or
								 * NULL */
	bool		guard_exempt_owner;
	char	   *tenants;		/* a query; NULL: none */
	DcSettings	tenants_settings;
	DcRoles		tenants_roles;	/* whose code it may run */
	Datum	   *variants;		/* jsonb objects */
	int			nvariants;
	bool		warm_on_start;
	bool		warm_on_change;
	Size		memory_limit;	/* of its answers; 0: none */
	MemoryContext context;
} DcDashboard;

extern void dc_metacache_init(void);
extern DcDashboard *dc_metacache_dashboard(const char *name);
extern DcDashboard *dc_metacache_dashboard_n(const char *name, Size len);
extern DcDashboard *dc_metacache_dashboard_of(uint32 widget);
extern DcWidget *dc_metacache_widget(DcDashboard *dashboard, const char *name);
extern DcWidget *dc_metacache_widget_n(DcDashboard *dashboard, const char *name,
									   Size len);
extern DcWidget *dc_metacache_widget_by_id(DcDashboard *dashboard, uint32 id);
extern bool dc_metacache_standing_same(DcWidget *widget);
extern uint64 dc_metacache_generation(void);
extern void dc_metacache_at_xact(XactEvent event);

#endif							/* DASHCACHE_METACACHE_H */
