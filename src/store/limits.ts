// Bounds of this room, with the reason for each value.
/** Times in milliseconds, sizes in bytes. */
export const limits = {
  /** Connections of one process's pool. */
  connections: 12,
  /** A query waits at most so long for a connection: of the pool when all are in use, of the server when a new one is made. */
  connectMs: 10_000,
  /** A statement that a living server does not answer within this time is given up. Long work names its own bound. */
  queryMs: 30_000,
  /** The same for a whole transaction. */
  transactionMs: 60_000,
  /** Long work: migrations, the proof of the ledger, bills over large tables. */
  longMs: 15 * 60_000,
  /** How often a pool in use looks whether its server is silent. */
  tickMs: 100,
  /** Silence after which the server is asked whether it lives, by a connection of its own. */
  askAfterMs: 300,
  /** Silence after which the server counts as unresponsive: what waits for it is given up, what is new is refused at once. */
  silentMs: 1_500,
  /** One question to the server, its connection included. */
  pingMs: 1_000,
  /** A connection's polite end; afterwards its socket is destroyed. */
  goodbyeMs: 300,
  /** Pause before a session that was lost connects again, and before a lock that another session holds is tried again. */
  sessionAgainMs: 500,
  /** The pause doubles with every failure, up to this. */
  sessionAgainMostMs: 4_000,
  /** Pause before a table is read again whose reading after a change failed. It doubles with every failure, up to the second. */
  changeAgainMs: 500,
  changeAgainMostMs: 4_000,
  /** A session that is connected asks this often whether the server answers it. */
  sessionPulseMs: 5_000,
  /** A session is given up, and connects again, when one of its statements takes longer than this. */
  sessionStatementMs: 10_000,
  /** Statements that wait in a session; a further one is refused. */
  sessionWaiting: 256,
  /** A session that comes back waits at most so long for the end of the backend that it had before. */
  backendEndMs: 1_000,
  /** TCP asks a silent peer whether it is there after this long, so that a server that vanished is noticed. */
  keepAliveMs: 10_000,
  /** The server looks this often whether the client of a running statement is still there, and ends the statement otherwise. */
  clientCheckMs: 1_000,
  /** The server ends a transaction whose client does nothing for this long: its locks keep others waiting. */
  idleTransactionMs: 60_000,
  /** How often a file's lock that another process holds is tried again. */
  lockPollMs: 200,
  /** Tables and files stand in a backup in parts of at most this length, which is what reading and writing hold of them in memory. */
  backupPartBytes: 4 * 1024 * 1024,
  /** A backup is read from its file in pieces of this length. */
  backupReadBytes: 1024 * 1024,
  /**
   * A file that expands to more than this many times its length is refused as a backup: rows hold random ids, which expand a few times
   * only.
   */
  backupExpandMost: 1_000,
  /** The bound of expansion leaves this much free, so that short files of few rows are read. */
  backupExpandFreeBytes: 64 * 1024 * 1024,
  /** A server that sends no further row of a snapshot within this time is given up. */
  backupStallMs: 60_000,
  /** A snapshot waits at most so long for a migration that has locked a table. */
  backupLockMs: 30_000,
} as const;
