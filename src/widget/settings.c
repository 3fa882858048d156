/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The server settings that are pinned with a widget.
 *
 * An answer must not depend on who asks.  So all settings that change what a
 * query means, or how its values are written, are taken down when a widget is
 * defined, and put in force whenever it is computed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "widget/settings.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

static const char *const pinned[] = {
	"search_path",
	"TimeZone",
	"timezone_abbreviations",
	"DateStyle",
	"IntervalStyle",
	"extra_float_digits",
	"bytea_output",
	"xmlbinary",
	"xmloption",
	"lc_monetary",
	"lc_numeric",
	"lc_time",
	"default_text_search_config",
	"gin_fuzzy_search_limit",
	"array_nulls",
	"backslash_quote",
	"quote_all_identifiers",
	"standard_conforming_strings",
	"transform_null_equals",
	"row_security"
};

/*
 * The search path to pin: the one in force, with pg_temp moved to its end, lest
 * somebody's temporary table be taken for one of the query's.
 */
static char *
pinned_search_path(void)
{
	const char *path = GetConfigOption("search_path", false, false);
	StringInfoData out;
	List	   *names;
	ListCell   *lc;

	initStringInfo(&out);
	if (!SplitIdentifierString(pstrdup(path), ',', &names))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid search_path: \"%s\"", path)));
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), "pg_temp") != 0)
			appendStringInfo(&out, "%s, ",
							 strcmp(lfirst(lc), "$user") == 0 ? "\"$user\"" :
							 quote_identifier(lfirst(lc)));
	}
	appendStringInfoString(&out, "pg_temp");
	return out.data;
}

/* Take down the settings of this session. */
DcSettings
dc_settings_capture(void)
{
	DcSettings	settings;

	settings.list = palloc(sizeof(DcSetting) * lengthof(pinned));
	settings.n = 0;
	for (int i = 0; i < lengthof(pinned); i++)
	{
		DcSetting  *setting = &settings.list[settings.n++];

		setting->name = pstrdup(pinned[i]);
		if (strcmp(pinned[i], "search_path") == 0)
			setting->value = pinned_search_path();
		else if (strcmp(pinned[i], "row_security") == 0)
			setting->value = pstrdup("on");
		else
			setting->value = pstrdup(GetConfigOption(pinned[i], false, false));
	}
	return settings;
}

/* As an array of "name=value", as pg_db_role_setting has them. */
Datum
dc_settings_to_array(const DcSettings *settings)
{
	Datum	   *elements = palloc(sizeof(Datum) * settings->n);

	for (int i = 0; i < settings->n; i++)
		elements[i] = CStringGetTextDatum(psprintf("%s=%s",
												   settings->list[i].name,
												   settings->list[i].value));
	return PointerGetDatum(construct_array(elements, settings->n, TEXTOID, -1,
										   false, TYPALIGN_INT));
}

/* The reverse. */
DcSettings
dc_settings_from_array(Datum array)
{
	DcSettings	settings;
	Datum	   *elements;
	bool	   *nulls;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &settings.n);
	settings.list = palloc(sizeof(DcSetting) * Max(settings.n, 1));
	for (int i = 0; i < settings.n; i++)
	{
		char	   *name = TextDatumGetCString(elements[i]);
		char	   *equals = strchr(name, '=');

		if (equals == NULL)
			elog(ERROR, "invalid pinned setting \"%s\"", name);
		*equals = '\0';
		settings.list[i].name = name;
		settings.list[i].value = equals + 1;
	}
	return settings;
}

/* A copy in the current memory context. */
DcSettings *
dc_settings_copy(const DcSettings *settings)
{
	DcSettings *copy = palloc(sizeof(DcSettings));

	copy->n = settings->n;
	copy->list = palloc(sizeof(DcSetting) * Max(settings->n, 1));
	for (int i = 0; i < settings->n; i++)
	{
		copy->list[i].name = pstrdup(settings->list[i].name);
		copy->list[i].value = pstrdup(settings->list[i].value);
	}
	return copy;
}

/*
 * Have values written in the way that is read alike under all settings, until
 * the end of the caller's GUC nesting level.
 */
void
dc_settings_pin_plain(void)
{
	static DcSetting list[] = {
		{"DateStyle", "ISO"},
		{"IntervalStyle", "iso_8601"},
		{"extra_float_digits", "1"},
		{"bytea_output", "hex"}
	};
	static const DcSettings plain = {list, lengthof(list)};

	dc_settings_pin(&plain);
}

/*
 * Put the settings in force, inside the caller's GUC nesting level.  Most
 * sessions have most of them already.
 */
void
dc_settings_pin(const DcSettings *settings)
{
	for (int i = 0; i < settings->n; i++)
	{
		const DcSetting *setting = &settings->list[i];
		const char *current = GetConfigOption(setting->name, true, false);

		if (current == NULL || strcmp(current, setting->value) != 0)
			(void) set_config_option(setting->name, setting->value,
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
}

/*
 * Begin to run somebody's query: as its owner, in a security-restricted
 * operation, under the settings that were pinned with it.  To be followed by
 * dc_owner_end(); an error in between is undone by the transaction's end.
 */
void
dc_owner_begin(DcAsOwner *work, Oid owner, const DcSettings *settings)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owner of the widget, role with OID %u, does not exist",
						owner),
				 errhint("Define the widget again, as another role.")));

	GetUserIdAndSecContext(&work->save_user, &work->save_context);
	SetUserIdAndSecContext(owner,
						   work->save_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	work->save_nestlevel = NewGUCNestLevel();
	dc_settings_pin(settings);
}

/* End what dc_owner_begin() has begun. */
void
dc_owner_end(DcAsOwner *work)
{
	AtEOXact_GUC(false, work->save_nestlevel);
	SetUserIdAndSecContext(work->save_user, work->save_context);
}
