/*-------------------------------------------------------------------------
 *
 * unwatched_ddl.c
 *		DDL for which no event trigger fires.
 *
 * In a single-user session there are no event triggers (and later versions let
 * a superuser turn them off).  What DDL does there is not looked into: all
 * definitions of the database are taken for some that come from elsewhere
 * (verified.c).  Their widgets are computed at each call until a worker has looked
 * at them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/unwatched_ddl.h"

#include "compat.h"
#include "widget/catalog.h"
#include "widget/verified.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"

/* Is this such a command? */
bool
dc_unwatched_ddl(Node *statement)
{
	return unlikely(!dc_event_triggers_fire()) && !IsBootstrapProcessingMode() &&
		command_tag_event_trigger_ok(CreateCommandTag(statement));
}

/* It has been done. */
void
dc_unwatched_ddl_done(void)
{
	if (IsTransactionState() && !creating_extension &&
		OidIsValid(get_extension_oid("dashcache", true)) &&
		OidIsValid(dc_catalog_relid(DC_TABLE_VERIFIED)))
		dc_verified_forget_all();
}
