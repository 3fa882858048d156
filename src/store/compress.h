/*-------------------------------------------------------------------------
 *
 * compress.h
 *		Answers made smaller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DASHCACHE_COMPRESS_H
#define DASHCACHE_COMPRESS_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* Shorter answers are kept as they are. */
#define DC_COMPRESS_FROM 2048

extern char *dc_compress(const char *payload, Size payload_len, Size *len);
extern char *dc_compressed_room(Size len);
extern void dc_decompress(char *compressed, Size len, StringInfo out);

#endif							/* DASHCACHE_COMPRESS_H */
