// The words of the spool.

/** What proves that the process that wrote a folder of spools is dead (owner.ts). */
export interface OwnerMark {
  /** Names the machine for ever; empty where nothing does, for example in a container. */
  machine: string;
  /** Names the time between two starts of the machine's kernel; empty where the system does not say. */
  boot: string;
  /** Device and inode of the lock's file: a copied or restored folder has another. */
  lock: string;
}

/** A place in a spool: every record up to it, its own included. Number 0 is the beginning. */
export interface SpoolPlace {
  spool: string;
  number: number;
}

/** The header of a file. */
export interface SpoolHeader {
  /** The random id of this file. */
  spool: string;
  /** What the writer is to its caller: all files of one epoch hold the records of one process, in the order of `index`. */
  epoch: string;
  index: number;
  /** The file before this one, and the number at which it ends: what stands in it after that was written again into this one. */
  previous?: SpoolPlace;
  owner: OwnerMark;
  createdMs: number;
}

/** A record as it is read. */
export interface SpoolRecord {
  number: number;
  /** Valid until the reader is asked for more. */
  payload: Buffer;
  /** Says that the records up to this one are the same as another reader's (format.ts). */
  chain: number;
}

/** How a file ends. `torn`: its last write did not get whole to the disk, and is cut. `damaged`: good records follow a bad one. */
export type SpoolEnding = "whole" | "torn" | "damaged";

/** The system calls of a writer: given by tests that let a disk fail. */
export interface Disk {
  /** Answers how many bytes were written; throws as `writeSync` of node:fs. */
  write(fd: number, bytes: Buffer, offset: number, length: number, position: number): number;
  sync(fd: number, done: (error: Error | null) => void): void;
  syncNow(fd: number): void;
}

/** A file of an epoch, as its readers need it. */
export interface TrailFile {
  spool: string;
  path: string;
  /** The number of the last record that may be read: the newest that is synced, or the end. */
  upTo: number;
  /** Nothing follows `upTo` in this file; what follows is in the next. */
  ended: boolean;
}
