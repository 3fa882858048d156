/*-------------------------------------------------------------------------
 *
 * get.c
 *		dashcache_get() and dashcache_fetch().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/arguments.h"
#include "hit_path.h"
#include "read/fetch.h"
#include "widget/acl.h"
#include "widget/metacache.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(dashcache_get_text);
PG_FUNCTION_INFO_V1(dashcache_get_bigint);
PG_FUNCTION_INFO_V1(dashcache_get_uuid);
PG_FUNCTION_INFO_V1(dashcache_fetch_text);
PG_FUNCTION_INFO_V1(dashcache_fetch_bigint);
PG_FUNCTION_INFO_V1(dashcache_fetch_uuid);

/* The arguments that both functions have, in this order. */
enum
{
	ARG_TENANT,
	ARG_DASHBOARD,
	ARG_WIDGET,
	ARG_PARAMS,
	ARG_REFRESH,
	ARG_WITH_META
};

/* What a call asks for: a dashboard, or one widget of it. */
typedef struct Call
{
	DcDashboard *dashboard;
	DcWidget   *widgets;		/* those asked for, one or all */
	int			nwidgets;
	bool		one;			/* by its name, even if it is all there are */
	DcRequest	request;
	DcLookup   *lookups;		/* one for each widget */
	DcLookup	lookup;			/* the first, most often the only one */
} Call;

/* What is told about several answers together. */
typedef struct Summary
{
	bool		cached;
	TimestampTz generated_at;
	TimestampTz expires_at;
	uint64		etag;
} Summary;

static DC_HIT_PATH void
read_arguments(FunctionCallInfo fcinfo, Oid tenant_type, Call *call)
{
	text	   *name;
	struct varlena *params;
	uint32		header;

	memset(call, 0, offsetof(Call, lookup));

	if (PG_ARGISNULL(ARG_TENANT))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("tenant must not be null")));
	if (PG_ARGISNULL(ARG_DASHBOARD))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("dashboard must not be null")));

	name = (text *) dc_detoast_packed(PG_GETARG_DATUM(ARG_DASHBOARD));
	call->dashboard = dc_metacache_dashboard_n(VARDATA_ANY(name),
											   VARSIZE_ANY_EXHDR(name));
	if (unlikely(call->dashboard == NULL))
		call->dashboard = dc_existing_dashboard(text_to_cstring(name)); /* throws */
	dc_acl_check_read(call->dashboard);

	call->request.tenant = PG_GETARG_DATUM(ARG_TENANT);
	if (tenant_type == TEXTOID)
		call->request.tenant = PointerGetDatum(dc_detoast_packed(call->request.tenant));
	call->request.tenant_type = tenant_type;
	dc_acl_check_guard(call->dashboard, call->request.tenant, tenant_type);

	call->widgets = call->dashboard->widgets;
	call->nwidgets = call->dashboard->nwidgets;
	if (!PG_ARGISNULL(ARG_WIDGET))
	{
		name = (text *) dc_detoast_packed(PG_GETARG_DATUM(ARG_WIDGET));
		call->one = true;
		call->nwidgets = 1;
		call->widgets = dc_metacache_widget_n(call->dashboard, VARDATA_ANY(name),
											  VARSIZE_ANY_EXHDR(name));
		if (unlikely(call->widgets == NULL))
			call->widgets = dc_existing_widget(call->dashboard, text_to_cstring(name)); /* throws */
	}

	if (PG_ARGISNULL(ARG_PARAMS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("params must not be null"),
				 errhint("Leave it out, or give '{}'.")));
	/* only the header is looked at: no need to unpack the usual '{}' */
	params = dc_detoast_packed(PG_GETARG_DATUM(ARG_PARAMS));
	memcpy(&header, VARDATA_ANY(params), sizeof(header));
	if ((header & JB_FOBJECT) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a JSON object"),
				 errhint("For example '{\"days\": 7}'.")));

	call->request.params = PointerGetDatum(params);
	call->request.refresh = !PG_ARGISNULL(ARG_REFRESH) && PG_GETARG_BOOL(ARG_REFRESH);

	call->lookups = call->nwidgets <= 1 ? &call->lookup :
		palloc(sizeof(DcLookup) * call->nwidgets);
	for (int i = 0; i < call->nwidgets; i++)
		dc_fetch_begin(&call->lookups[i], call->dashboard, &call->widgets[i], &call->request);
}

static void
summarize(Summary *summary, const DcAnswer *answer, bool first)
{
	bool		cached = answer->source != DC_FROM_DATABASE;

	if (first)
	{
		summary->cached = cached;
		summary->generated_at = answer->generated_at;
		summary->expires_at = answer->expires_at;
		summary->etag = answer->etag;
		return;
	}
	summary->cached &= cached;
	summary->generated_at = Min(summary->generated_at, answer->generated_at);
	summary->expires_at = Min(summary->expires_at, answer->expires_at);
	summary->etag = hash_combine64(summary->etag, answer->etag);
}

static void
append_timestamp(StringInfo out, TimestampTz at)
{
	char		buffer[MAXDATELEN + 1];

	if (TIMESTAMP_NOT_FINITE(at))
		appendStringInfoString(out, "null");
	else
		appendStringInfo(out, "\"%s\"",
						 JsonEncodeDateTime(buffer, TimestampTzGetDatum(at),
											TIMESTAMPTZOID, NULL));
}

static void
append_meta(StringInfo out, const Summary *summary)
{
	appendStringInfo(out, "\"_meta\":{\"cached\":%s,\"generated_at\":",
					 summary->cached ? "true" : "false");
	append_timestamp(out, summary->generated_at);
	appendStringInfoString(out, ",\"expires_at\":");
	append_timestamp(out, summary->expires_at);
	appendStringInfo(out, ",\"etag\":\"%016llx\"}",
					 (unsigned long long) summary->etag);
}

static inline void
append(StringInfo out, const char *bytes, Size len)
{
	memcpy(dc_append_room(out, len), bytes, len);
}

/* Begin a varlena with room for what the answers took last time. */
static void
begin_answer(StringInfo out, const Call *call)
{
	Size		size = 256;

	for (int i = 0; i < call->nwidgets; i++)
		size += call->widgets[i].size + 2 * NAMEDATALEN;
	size = Min(size, MaxAllocSize);
	out->data = palloc(size);
	for (int i = 0; i < call->nwidgets; i++)
		dc_lookup_prefetch(&call->lookups[i]);
	out->maxlen = size;
	out->len = VARHDRSZ;
	out->cursor = 0;
}

/*
 * The answer as one json value.  It is built in place behind the header of a
 * varlena, so that the bytes of a hit are copied once.
 */
static DC_HIT_PATH Datum
get(FunctionCallInfo fcinfo, Oid tenant_type)
{
	bool		with_meta = !PG_ARGISNULL(ARG_WITH_META) && PG_GETARG_BOOL(ARG_WITH_META);
	StringInfoData out;
	DcAnswer	answer;
	Summary		summary = {false, DT_NOBEGIN, DT_NOEND, 0};
	Call		call;
	bool		object;
	int			start;

	read_arguments(fcinfo, tenant_type, &call);

	begin_answer(&out, &call);

	/* with _meta, a single widget is a member of an object, too */
	object = !call.one || with_meta;
	if (object)
		append(&out, "{", 1);
	for (int i = 0; i < call.nwidgets; i++)
	{
		DcWidget   *widget = &call.widgets[i];

		if (object)
		{
			if (i > 0)
				append(&out, ",", 1);
			append(&out, widget->json_name, widget->json_name_len);
		}
		start = out.len;
		dc_fetch(&call.lookups[i], &out, &answer);
		widget->size = out.len - start;
		if (with_meta)
			summarize(&summary, &answer, i == 0);
	}
	if (with_meta)
	{
		if (call.nwidgets > 0)
			appendStringInfoChar(&out, ',');
		append_meta(&out, &summary);
	}
	if (object)
		append(&out, "}", 1);

	SET_VARSIZE(out.data, out.len);
	PG_RETURN_POINTER(out.data);
}

/*
 * dashcache_get(tenant, dashboard, widget, params, refresh, with_meta): see
 * COMMENT ON FUNCTION.  Three overloads for the type of the tenant.
 */
DC_HIT_PATH Datum
dashcache_get_text(PG_FUNCTION_ARGS)
{
	return get(fcinfo, TEXTOID);
}

DC_HIT_PATH Datum
dashcache_get_bigint(PG_FUNCTION_ARGS)
{
	return get(fcinfo, INT8OID);
}

DC_HIT_PATH Datum
dashcache_get_uuid(PG_FUNCTION_ARGS)
{
	return get(fcinfo, UUIDOID);
}

static const char *
source_name(DcAnswerSource source)
{
	switch (source)
	{
		case DC_FROM_CACHE:
			return "cache";
		case DC_FROM_STALE:
			return "stale";
		case DC_FROM_DATABASE:
			return "database";
	}
	return NULL;
}

static void
set_timestamp(Datum *value, bool *isnull, TimestampTz at)
{
	*value = TimestampTzGetDatum(at);
	*isnull = TIMESTAMP_NOT_FINITE(at);
}

static Datum
fetch(FunctionCallInfo fcinfo, Oid tenant_type)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Call		call;

	read_arguments(fcinfo, tenant_type, &call);
	InitMaterializedSRF(fcinfo, 0);

	for (int i = 0; i < call.nwidgets; i++)
	{
		DcWidget   *widget = &call.widgets[i];
		StringInfoData out;
		DcAnswer	answer;
		Datum		values[8];
		bool		nulls[8] = {0};
		char		etag[17];

		initStringInfo(&out);
		out.len = VARHDRSZ;
		dc_fetch(&call.lookups[i], &out, &answer);
		SET_VARSIZE(out.data, out.len);

		values[0] = CStringGetTextDatum(widget->name);
		values[1] = PointerGetDatum(out.data);
		values[2] = CStringGetTextDatum(source_name(answer.source));
		nulls[3] = answer.reason == NULL;
		values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(answer.reason);
		set_timestamp(&values[4], &nulls[4], answer.generated_at);
		set_timestamp(&values[5], &nulls[5], answer.expires_at);
		values[6] = Float8GetDatum(answer.compute_us / 1000.0);
		snprintf(etag, sizeof(etag), "%016llx", (unsigned long long) answer.etag);
		values[7] = CStringGetTextDatum(etag);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		pfree(out.data);
	}
	return (Datum) 0;
}

/*
 * dashcache_fetch(tenant, dashboard, widget, params, refresh): see COMMENT ON
 * FUNCTION.  Three overloads for the type of the tenant.
 */
Datum
dashcache_fetch_text(PG_FUNCTION_ARGS)
{
	return fetch(fcinfo, TEXTOID);
}

Datum
dashcache_fetch_bigint(PG_FUNCTION_ARGS)
{
	return fetch(fcinfo, INT8OID);
}

Datum
dashcache_fetch_uuid(PG_FUNCTION_ARGS)
{
	return fetch(fcinfo, UUIDOID);
}
