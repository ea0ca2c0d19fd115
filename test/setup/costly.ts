// Imported, for nothing but its name, by a test that takes a second of CPU time or more by what it checks: a limit of CPU time that a task
// uses up, the derivation of a real key, a gigabyte of text, whole published traces, a simulated fleet. It puts the test into the lane `room`
// (test/lanes.ts), so that the lane `pure` stays quick enough to run after every change.
export {};
