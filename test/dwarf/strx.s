# A unit of DWARF 5 as clang writes it: names by number (DW_FORM_strx*), lengths by DW_AT_count, no siblings.
	.section .debug_str,"MS",@progbits,1
	.string "unit"		# 0
	.string "outer"		# 5
	.string "first"		# 11
	.string "long"		# 17
	.string "variable"	# 22
	.string "PG_swapcache"	# 31
	.string "second"	# 44

	.section .debug_str_offsets,"",@progbits
	# Another unit's part, then ours.
	.long 8; .short 5, 0; .long 0
	.long 32; .short 5, 0
	.long 0, 5, 11, 17, 22, 31, 44

	.section .debug_abbrev,"",@progbits
	.uleb128 1, 0x11; .byte 1; .uleb128 0x03, 0x25, 0x72, 0x17, 0, 0
	.uleb128 2, 0x13; .byte 1; .uleb128 0x03, 0x25, 0x0b, 0x0b, 0, 0
	.uleb128 3, 0x0d; .byte 0; .uleb128 0x03, 0x26, 0x49, 0x13, 0x38, 0x21; .sleb128 0; .uleb128 0, 0
	.uleb128 4, 0x24; .byte 0; .uleb128 0x03, 0x1a, 0x0b, 0x0b, 0, 0
	.uleb128 5, 0x34; .byte 0; .uleb128 0x03, 0x27, 0x49, 0x13, 0x02, 0x18, 0, 0
	.uleb128 6, 0x01; .byte 1; .uleb128 0x49, 0x15, 0, 0
	.uleb128 7, 0x21; .byte 0; .uleb128 0x37, 0x0b, 0, 0
	.uleb128 8, 0x04; .byte 1; .uleb128 0, 0
	.uleb128 9, 0x28; .byte 0; .uleb128 0x03, 0x28, 0x1c, 0x0d, 0, 0
	.uleb128 10, 0x0d; .byte 0; .uleb128 0x03, 0x25, 0x49, 0x13, 0x38, 0x16, 0, 0
	.byte 0

	.section .debug_info,"",@progbits
start:	.long end - . - 4
	.short 5; .byte 1, 8; .long 0
	.uleb128 1; .byte 0; .long 20
outer:	.uleb128 2; .byte 1, 24
	.uleb128 3; .short 2; .long long - start
	# The form of the offset stands beside it: DW_FORM_indirect, DW_FORM_udata.
	.uleb128 10; .byte 6; .long array - start; .uleb128 0x0f, 8
	.byte 0
long:	.uleb128 4, 3; .byte 8
array:	.uleb128 6, long - start
	.uleb128 7; .byte 2
	.byte 0
	.uleb128 5; .byte 4, 0, 0; .long outer - start; .uleb128 0
	.uleb128 8
	.uleb128 9; .long 5; .sleb128 300
	.byte 0
	.byte 0
end:
