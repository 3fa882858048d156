/*-------------------------------------------------------------------------
 *
 * settings.h
 *		The server settings that are pinned with a widget.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_SETTINGS_H
#define DASHCACHE_SETTINGS_H

#include "postgres.h"

typedef struct DcSetting
{
	char	   *name;
	char	   *value;
} DcSetting;

typedef struct DcSettings
{
	DcSetting  *list;
	int			n;
} DcSettings;

extern DcSettings dc_settings_capture(void);
extern Datum dc_settings_to_array(const DcSettings *settings);
extern DcSettings dc_settings_from_array(Datum array);

/* What dc_owner_begin() has put aside. */
typedef struct DcAsOwner
{
	Oid			save_user;
	int			save_context;
	int			save_nestlevel;
} DcAsOwner;

extern void dc_owner_begin(DcAsOwner *work, Oid owner,
						   const DcSettings *settings);
extern void dc_owner_end(DcAsOwner *work);
extern void dc_settings_pin(const DcSettings *settings);
extern void dc_settings_pin_plain(void);
extern DcSettings *dc_settings_copy(const DcSettings *settings);

#endif							/* DASHCACHE_SETTINGS_H */
