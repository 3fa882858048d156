/*-------------------------------------------------------------------------
 *
 * compress.c
 *		Answers made smaller.
 *
 * By the functions with which the server compresses the columns of its tables,
 * which work on varlenas: what is kept of a compressed answer is a compressed
 * varlena without its length, so it says itself by which method it was made.
 * A setting that is changed concerns the answers to come.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "store/compress.h"

#include "guc.h"

#include "access/detoast.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "utils/memutils.h"

/*
 * What is larger is kept as it is.  The server hands out no more than MaxAllocSize
 * in one piece, and compressing takes more room than what is compressed.
 */
#define COMPRESS_UP_TO (MaxAllocSize / 16 * 15)

/*
 * A compressed copy of an answer; NULL if it is to be kept as it is, since it is
 * short or would not become shorter by a quarter.
 */
char *
dc_compress(const char *payload, Size payload_len, Size *len)
{
	struct varlena *plain;
	struct varlena *compressed;
	ToastCompressionId method = TOAST_PGLZ_COMPRESSION_ID;

	if (dc_compression == DC_COMPRESSION_OFF || payload_len < DC_COMPRESS_FROM ||
		payload_len > COMPRESS_UP_TO)
		return NULL;

	plain = palloc(VARHDRSZ + payload_len);
	SET_VARSIZE(plain, VARHDRSZ + payload_len);
	memcpy(VARDATA(plain), payload, payload_len);
	if (dc_compression == DC_COMPRESSION_LZ4)
	{
		method = TOAST_LZ4_COMPRESSION_ID;
		compressed = lz4_compress_datum(plain);
	}
	else
		compressed = pglz_compress_datum(plain);
	pfree(plain);

	if (compressed == NULL)
		return NULL;
	if (VARSIZE(compressed) > payload_len / 4 * 3)
	{
		pfree(compressed);
		return NULL;
	}
	TOAST_COMPRESS_SET_SIZE_AND_COMPRESS_METHOD(compressed, payload_len, method);
	*len = VARSIZE(compressed) - VARHDRSZ;
	return (char *) compressed + VARHDRSZ;
}

/* Where to put a compressed answer of that length, for dc_decompress(). */
char *
dc_compressed_room(Size len)
{
	return (char *) palloc(VARHDRSZ + len) + VARHDRSZ;
}

/* Append to "out" the answer that is in such a place. */
void
dc_decompress(char *compressed, Size len, StringInfo out)
{
	struct varlena *varlena = (struct varlena *) (compressed - VARHDRSZ);
	struct varlena *plain;

	SET_VARSIZE_COMPRESSED(varlena, VARHDRSZ + len);
	plain = detoast_attr(varlena);
	appendBinaryStringInfo(out, VARDATA(plain), VARSIZE(plain) - VARHDRSZ);
	pfree(plain);
	pfree(varlena);
}
