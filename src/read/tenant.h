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

#include "catalog/pg_type.h"

extern Datum dc_tenant_convert(const DcRequest *request, DcWidget *widget);
extern uint32 dc_tenant_bytes(const DcTenantType *type, Datum *tenant,
							  const char **bytes);
extern Datum dc_tenant_from_bytes(const DcTenantType *type,
								  const char *bytes, uint32 len);
extern uint32 dc_tenant_hash(DcTenantType *type, Datum tenant,
							 const char *bytes, uint32 len);
extern Datum dc_params_none(void);
extern Datum dc_params_from_bytes(const char *bytes, uint32 len);

/*
 * The tenant asked for, as the type that the widget's query takes.  Integers are
 * what most have, and are asked for as bigint.
 */
static inline Datum
dc_tenant_of_request(DcRequest *request, DcWidget *widget)
{
	Oid			type = widget->tenant_type.type;
	int64		number;

	if (request->converted_type == type)
		return request->converted;

	number = request->tenant_type == INT8OID ? DatumGetInt64(request->tenant) : 0;
	if (request->tenant_type == type)
		request->converted = request->tenant;
	else if (request->tenant_type == INT8OID && type == INT4OID &&
			 number >= PG_INT32_MIN && number <= PG_INT32_MAX)
		request->converted = Int32GetDatum((int32) number);
	else
		request->converted = dc_tenant_convert(request, widget);
	request->converted_type = type;
	return request->converted;
}

#endif							/* DASHCACHE_TENANT_H */
