import { expect, test } from "vitest";
import { Disk } from "./disk.ts";
import { diskReserveBytes, diskRoomBytes } from "./limits.ts";

function scene() {
  const changes: boolean[] = [];
  const state = { free: diskRoomBytes, takes: true };
  const disk = new Disk({
    folder: "/",
    onChange: (full) => void changes.push(full),
    freeBytes: () => state.free,
    probe() {
      if (!state.takes) throw new Error("no room");
    },
  });
  return { disk, state, changes };
}

test("it is full below the reserve, and has room again only well above it", () => {
  const { disk, state, changes } = scene();
  disk.look();
  state.free = diskReserveBytes - 1;
  disk.look();
  disk.look();
  state.free = diskRoomBytes - 1;
  disk.look();
  expect([disk.full, changes]).toEqual([true, [true]]);
  state.free = diskRoomBytes;
  disk.look();
  expect([disk.full, changes]).toEqual([false, [true, false]]);
});

test("a write that failed for want of room makes it full, whatever is free, until a probe can be written", () => {
  const { disk, state, changes } = scene();
  disk.failed(Object.assign(new Error("no"), { code: "EACCES" }));
  expect(disk.full).toBe(false);
  disk.failed(Object.assign(new Error("quota"), { code: "EDQUOT" }));
  state.takes = false;
  disk.look();
  expect(disk.full).toBe(true);
  state.takes = true;
  disk.look();
  expect(changes).toEqual([true, false]);
});

test("a disk that cannot be asked is not called full", () => {
  const changes: boolean[] = [];
  const disk = new Disk({ folder: "/nowhere/at/all", onChange: (full) => void changes.push(full) });
  disk.look();
  expect([disk.full, changes]).toEqual([false, []]);
});
