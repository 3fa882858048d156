/*-------------------------------------------------------------------------
 *
 * tenants.h
 *		For whom a dashboard is to be warmed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_TENANTS_H
#define DASHCACHE_TENANTS_H

#include "postgres.h"

#include "widget/metacache.h"

/* Tenants, as text, each once and in no particular order. */
typedef struct DcTenantList
{
	char	  **list;
	int			n;
	int			capacity;
} DcTenantList;

/* Params, and the tenants that widgets are warmed for with them. */
typedef struct DcVariant
{
	Datum		params;			/* jsonb */
	DcTenantList tenants;
} DcVariant;

/* All that a dashboard is to be warmed for. */
typedef struct DcAudience
{
	DcTenantList plain;			/* for widgets that do not look at params */
	DcVariant  *variants;		/* for those that do */
	int			nvariants;

	/* under which the tenants query has written its; NULL: there was none */
	const DcSettings *settings;
} DcAudience;

/* What a tenants query has given besides tenants. */
typedef struct DcTenantsFound
{
	int64		nulls;
	int64		duplicates;
} DcTenantsFound;

extern void dc_tenants_query(const char *query, Oid owner,
							 const DcSettings *settings,
							 DcRoles *roles, bool admit,
							 DcTenantList *tenants, DcTenantsFound *found);
extern void dc_tenants_audience(DcDashboard *dashboard, const char *one_tenant,
								int hour_of_week, DcAudience *audience);
extern const DcTenantList *dc_tenants_of_widget(const DcAudience *audience,
												const DcWidget *widget,
												int variant, Datum *params);

/*
 * The settings under which a tenant of an audience is read: "settings" is the
 * audience's, the widget one that it is read for.
 */
static inline const DcSettings *
dc_tenants_settings(const DcSettings *settings, const DcWidget *widget)
{
	return settings != NULL ? settings : &widget->settings;
}

#endif							/* DASHCACHE_TENANTS_H */
