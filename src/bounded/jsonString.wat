;; Finds where a JSON string ends, 16 bytes at a time (the instructions of WebAssembly are those of SIMD), and judges what stands in it.
;; `jsonString.ts` holds the compiled module, fills the table and says what the answer means. A test compiles this file and compares.
;;
;; Memory: the text lies at 0, followed by a quote at `limit` that stops every search, and at `table` one byte for each byte:
;; 1: may follow a backslash; 2: a backslash and this begin four hexadecimal digits; 4: a hexadecimal digit.
(module
  (memory (export "memory") 2)
  ;; at: behind the opening quote. Answers the place of the closing quote, or `limit`, with the bits `wrong` and `escaped` above it.
  (func (export "end") (param $at i32) (param $limit i32) (result i32)
    (local $bytes v128) (local $found i32) (local $byte i32) (local $bits i32)
    (loop $search
      ;; Quotes, backslashes and control characters among the next 16 bytes.
      (local.set $bytes (v128.load (local.get $at)))
      (local.set $found
        (i8x16.bitmask
          (v128.or
            (v128.or
              (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x22)))
              (i8x16.eq (local.get $bytes) (i8x16.splat (i32.const 0x5c))))
            (i8x16.lt_u (local.get $bytes) (i8x16.splat (i32.const 0x20))))))
      (if (i32.eqz (local.get $found))
        (then
          (local.set $at (i32.add (local.get $at) (i32.const 16)))
          (br $search)))
      (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $found))))
      (local.set $byte (i32.load8_u (local.get $at)))
      (if (i32.eq (local.get $byte) (i32.const 0x22))
        (then (return (i32.or (local.get $at) (local.get $bits)))))
      (if (i32.ne (local.get $byte) (i32.const 0x5c))
        (then
          ;; A control character.
          (local.set $bits (i32.or (local.get $bits) (i32.const 0x100000)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $search)))
      ;; A backslash at the end of the text: what it escapes comes with the next one, and is judged there.
      (if (i32.ge_u (i32.add (local.get $at) (i32.const 1)) (local.get $limit))
        (then (return (i32.or (i32.or (local.get $limit) (local.get $bits)) (i32.const 0x200000)))))
      (local.set $byte (i32.load8_u (i32.add (i32.const 0x18000) (i32.load8_u offset=1 (local.get $at)))))
      (if (i32.and (local.get $byte) (i32.const 2))
        (then
          ;; Four digits; those beyond the end of the text are not judged.
          (local.set $byte
            (i32.shr_u
              (i32.and
                (i32.and
                  (i32.and
                    (i32.load8_u (i32.add (i32.const 0x18000) (i32.load8_u offset=2 (local.get $at))))
                    (i32.load8_u (i32.add (i32.const 0x18000) (i32.load8_u offset=3 (local.get $at)))))
                  (i32.and
                    (i32.load8_u (i32.add (i32.const 0x18000) (i32.load8_u offset=4 (local.get $at))))
                    (i32.load8_u (i32.add (i32.const 0x18000) (i32.load8_u offset=5 (local.get $at))))))
                (i32.const 4))
              (i32.const 2)))
          (if (i32.gt_u (i32.add (local.get $at) (i32.const 6)) (local.get $limit))
            (then (local.set $byte (i32.const 0))))))
      (if (i32.eqz (i32.and (local.get $byte) (i32.const 1)))
        (then (local.set $bits (i32.or (local.get $bits) (i32.const 0x100000)))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (br $search))
    (unreachable)))
