/*-------------------------------------------------------------------------
 *
 * tenant.c
 *		Tenants and params: as asked for, and as the bytes of a key.
 *
 * A key has bytes, so that the store need not know types.  A tenant's are
 * those of its value in the type that the widget's query takes; a params
 * object's are those of the jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "read/tenant.h"

#include "hit_path.h"
#include "mix.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

static void
tenant_error_callback(void *arg)
{
	errcontext("tenant of dashcache widget \"%s\"", ((DcWidget *) arg)->name);
}

/* Convert the tenant asked for to a type that its own type is not. */
Datum
dc_tenant_convert(const DcRequest *request, DcWidget *widget)
{
	DcTenantType *type = &widget->tenant_type;
	ErrorContextCallback callback;
	DcAsOwner	work;
	bool		as_owner;
	char	   *literal;
	Datum		converted;

	callback.callback = tenant_error_callback;
	callback.arg = widget;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	switch (request->tenant_type)
	{
		case INT8OID:
			literal = DatumGetCString(DirectFunctionCall1(int8out, request->tenant));
			break;
		case UUIDOID:
			literal = DatumGetCString(DirectFunctionCall1(uuid_out, request->tenant));
			break;
		default:
			literal = TextDatumGetCString(request->tenant);
			break;
	}
	if (!OidIsValid(type->input.fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the type of the tenant no longer exists"),
				 errhint("Define the widget again, or drop it.")));

	/*
	 * The functions that a domain's CHECK calls are whoever's that made it:
	 * they must not run as a superuser who asks, or as a worker.
	 */
	as_owner = type->calls_others ||
		(type->reads_settings && request->settings != NULL);
	if (as_owner)
		dc_owner_begin(&work, widget->owner, request->settings != NULL ?
					   request->settings : &widget->settings);
	converted = InputFunctionCall(&type->input, literal, type->ioparam, -1);
	if (as_owner)
		dc_owner_end(&work);
	error_context_stack = callback.previous;
	return converted;
}

/*
 * The bytes that tell one tenant from another in a key.  They are not text,
 * which could depend on the session's settings.
 */
DC_HIT_PATH uint32
dc_tenant_bytes(const DcTenantType *type, Datum *tenant, const char **bytes)
{
	if (type->byval)
	{
		*bytes = (const char *) tenant;
		return sizeof(Datum);
	}
	if (type->len == -1)
	{
		struct varlena *value = dc_detoast_packed(*tenant);

		*bytes = VARDATA_ANY(value);
		return VARSIZE_ANY_EXHDR(value);
	}
	*bytes = DatumGetPointer(*tenant);
	return type->len >= 0 ? type->len : strlen(*bytes);
}

/* The reverse: a tenant from the bytes in a key. */
Datum
dc_tenant_from_bytes(const DcTenantType *type, const char *bytes, uint32 len)
{
	Datum		value;
	char	   *copy;

	if (type->byval)
	{
		memcpy(&value, bytes, sizeof(Datum));
		return value;
	}
	if (type->len == -1)
		return PointerGetDatum(cstring_to_text_with_len(bytes, len));
	copy = palloc(len + 1);
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return PointerGetDatum(copy);
}

/* A hash that is the same for tenants that are equal. */
DC_HIT_PATH uint32
dc_tenant_hash(DcTenantType *type, Datum tenant, const char *bytes, uint32 len)
{
	if (type->by_equality)
		return DatumGetUInt32(FunctionCall1Coll(&type->hash, type->collation,
												tenant));
	if (type->byval)
		return (uint32) dc_mix64(tenant);
	return hash_bytes((const unsigned char *) bytes, len);
}

/* No params: what those get who give none. */
Datum
dc_params_none(void)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
}

/* The params from the bytes in a key, which has none for those not used. */
Datum
dc_params_from_bytes(const char *bytes, uint32 len)
{
	Jsonb	   *params;

	if (len == 0)
		return dc_params_none();
	params = palloc(VARHDRSZ + len);
	SET_VARSIZE(params, VARHDRSZ + len);
	memcpy(VARDATA(params), bytes, len);
	return JsonbPGetDatum(params);
}
