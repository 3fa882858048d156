/*-------------------------------------------------------------------------
 *
 * tenant.h
 *		Tenants and params: as asked for, and as the bytes of a key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_TENANT_H
#define DASHCACHE_TENANT_H

#include "postgres.h"

#include "read/answer.h"
#include "widget/metacache.h"

extern Datum dc_tenant_convert(const DcRequest *request, DcWidget *widget);
extern uint32 dc_tenant_bytes(const DcTenantType *type, Datum *tenant,
							  const char **bytes);
extern Datum dc_tenant_from_bytes(const DcTenantType *type,
								  const char *bytes, uint32 len);
extern uint32 dc_tenant_hash(DcTenantType *type, Datum tenant,
							 const char *bytes, uint32 len);
extern Datum dc_params_none(void);
extern Datum dc_params_from_bytes(const char *bytes, uint32 len);

/* The tenant asked for, as the type that the widget's query takes. */
static inline Datum
dc_tenant_of_request(DcRequest *request, DcWidget *widget)
{
	Oid			type = widget->tenant_type.type;

	if (request->converted_type != type)
	{
		request->converted = request->tenant_type == type ?
			request->tenant : dc_tenant_convert(request, widget);
		request->converted_type = type;
	}
	return request->converted;
}

#endif							/* DASHCACHE_TENANT_H */
