// Bounds of the spool, with the reason for each value.
/** Times in milliseconds, sizes in bytes. */
export const limits = {
  /** Payload of one record. A reader allocates no more than this, whatever a length field says. */
  recordBytesMost: 1024 * 1024,
  /** Header of a file: a few short texts. */
  headerBytesMost: 4096,
  /** Zeros are written ahead in steps of this: a step costs under a millisecond, and a full disk shows this much early. */
  stepBytes: 1024 * 1024,
  /** A larger file is followed by a new one, so that posted records can be removed by removing files. */
  fileBytes: 64 * 1024 * 1024,
  /** A sync begins this long after the first write that needs it: the writes of that time share it. With the sync itself, 10 ms. */
  syncDelayMs: 5,
  /** Bytes written and not synced. Past it the disk is too slow, and only records with reserved room are taken. */
  unsyncedBytesMost: 64 * 1024 * 1024,
  /** Pause before a file is opened again after that failed. */
  openAgainMs: 500,
  /** Kept for putting records together; a larger write has a buffer of its own. */
  scratchBytes: 64 * 1024,
  /** One read of a file: some hundred records. A larger record is read by itself. */
  readBytes: 256 * 1024,
  /** Numbers beyond the last good record that a scan for later good ones believes: more records than a file holds. */
  scanNumbersMost: 2 ** 24,
  /** Bytes that such a scan checksums for each byte of the file. Past it the file counts as damaged. */
  scanChecksumFactor: 4,
} as const;
