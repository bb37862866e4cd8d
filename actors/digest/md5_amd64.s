//go:build !purego

#include "textflag.h"
#include "md5_amd64.h"

DATA md5k<>+0x00(SB)/8, $0xe8c7b756d76aa478
DATA md5k<>+0x08(SB)/8, $0xc1bdceee242070db
DATA md5k<>+0x10(SB)/8, $0x4787c62af57c0faf
DATA md5k<>+0x18(SB)/8, $0xfd469501a8304613
DATA md5k<>+0x20(SB)/8, $0x8b44f7af698098d8
DATA md5k<>+0x28(SB)/8, $0x895cd7beffff5bb1
DATA md5k<>+0x30(SB)/8, $0xfd9871936b901122
DATA md5k<>+0x38(SB)/8, $0x49b40821a679438e
DATA md5k<>+0x40(SB)/8, $0xc040b340f61e2562
DATA md5k<>+0x48(SB)/8, $0xe9b6c7aa265e5a51
DATA md5k<>+0x50(SB)/8, $0x02441453d62f105d
DATA md5k<>+0x58(SB)/8, $0xe7d3fbc8d8a1e681
DATA md5k<>+0x60(SB)/8, $0xc33707d621e1cde6
DATA md5k<>+0x68(SB)/8, $0x455a14edf4d50d87
DATA md5k<>+0x70(SB)/8, $0xfcefa3f8a9e3e905
DATA md5k<>+0x78(SB)/8, $0x8d2a4c8a676f02d9
DATA md5k<>+0x80(SB)/8, $0x8771f681fffa3942
DATA md5k<>+0x88(SB)/8, $0xfde5380c6d9d6122
DATA md5k<>+0x90(SB)/8, $0x4bdecfa9a4beea44
DATA md5k<>+0x98(SB)/8, $0xbebfbc70f6bb4b60
DATA md5k<>+0xa0(SB)/8, $0xeaa127fa289b7ec6
DATA md5k<>+0xa8(SB)/8, $0x04881d05d4ef3085
DATA md5k<>+0xb0(SB)/8, $0xe6db99e5d9d4d039
DATA md5k<>+0xb8(SB)/8, $0xc4ac56651fa27cf8
DATA md5k<>+0xc0(SB)/8, $0x432aff97f4292244
DATA md5k<>+0xc8(SB)/8, $0xfc93a039ab9423a7
DATA md5k<>+0xd0(SB)/8, $0x8f0ccc92655b59c3
DATA md5k<>+0xd8(SB)/8, $0x85845dd1ffeff47d
DATA md5k<>+0xe0(SB)/8, $0xfe2ce6e06fa87e4f
DATA md5k<>+0xe8(SB)/8, $0x4e0811a1a3014314
DATA md5k<>+0xf0(SB)/8, $0xbd3af235f7537e82
DATA md5k<>+0xf8(SB)/8, $0xeb86d3912ad7d2bb
GLOBL md5k<>(SB), RODATA|NOPTR, $256

// func md5x2(s0, s1 *state, p0, p1 *byte, blocks int)
TEXT ·md5x2(SB), NOSPLIT, $8-40
	MOVQ s0+0(FP), R12
	MOVQ s1+8(FP), R13
	MOVQ p0+16(FP), SI
	MOVQ p1+24(FP), DI
	MOVQ blocks+32(FP), R14
	MOVL 0(R12), AX
	MOVL 4(R12), BX
	MOVL 8(R12), CX
	MOVL 12(R12), DX
	MOVL 0(R13), R8
	MOVL 4(R13), R9
	MOVL 8(R13), R10
	MOVL 12(R13), R11

loop:
	MOVQ R14, left-8(SP)

	F2(AX, BX, CX, DX, R8, R9, R10, R11, 0, 0xd76aa478, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 4, 0xe8c7b756, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 8, 0x242070db, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 12, 0xc1bdceee, 22)
	F2(AX, BX, CX, DX, R8, R9, R10, R11, 16, 0xf57c0faf, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 20, 0x4787c62a, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 24, 0xa8304613, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 28, 0xfd469501, 22)
	F2(AX, BX, CX, DX, R8, R9, R10, R11, 32, 0x698098d8, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 36, 0x8b44f7af, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 40, 0xffff5bb1, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 44, 0x895cd7be, 22)
	F2(AX, BX, CX, DX, R8, R9, R10, R11, 48, 0x6b901122, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 52, 0xfd987193, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 56, 0xa679438e, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 60, 0x49b40821, 22)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 4, 0xf61e2562, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 24, 0xc040b340, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 44, 0x265e5a51, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 0, 0xe9b6c7aa, 20)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 20, 0xd62f105d, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 40, 0x02441453, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 60, 0xd8a1e681, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 16, 0xe7d3fbc8, 20)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 36, 0x21e1cde6, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 56, 0xc33707d6, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 12, 0xf4d50d87, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 32, 0x455a14ed, 20)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 52, 0xa9e3e905, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 8, 0xfcefa3f8, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 28, 0x676f02d9, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 48, 0x8d2a4c8a, 20)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 20, 0xfffa3942, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 32, 0x8771f681, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 44, 0x6d9d6122, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 56, 0xfde5380c, 23)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 4, 0xa4beea44, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 16, 0x4bdecfa9, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 28, 0xf6bb4b60, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 40, 0xbebfbc70, 23)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 52, 0x289b7ec6, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 0, 0xeaa127fa, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 12, 0xd4ef3085, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 24, 0x04881d05, 23)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 36, 0xd9d4d039, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 48, 0xe6db99e5, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 60, 0x1fa27cf8, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 8, 0xc4ac5665, 23)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 0, 0xf4292244, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 28, 0x432aff97, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 56, 0xab9423a7, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 20, 0xfc93a039, 21)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 48, 0x655b59c3, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 12, 0x8f0ccc92, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 40, 0xffeff47d, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 4, 0x85845dd1, 21)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 32, 0x6fa87e4f, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 60, 0xfe2ce6e0, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 24, 0xa3014314, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 52, 0x4e0811a1, 21)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 16, 0xf7537e82, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 44, 0xbd3af235, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 8, 0x2ad7d2bb, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 36, 0xeb86d391, 21)

	MOVQ s0+0(FP), R12
	MOVQ s1+8(FP), R13
	MOVQ left-8(SP), R14
	ADDL 0(R12), AX
	ADDL 4(R12), BX
	ADDL 8(R12), CX
	ADDL 12(R12), DX
	ADDL 0(R13), R8
	ADDL 4(R13), R9
	ADDL 8(R13), R10
	ADDL 12(R13), R11
	MOVL AX, 0(R12)
	MOVL BX, 4(R12)
	MOVL CX, 8(R12)
	MOVL DX, 12(R12)
	MOVL R8, 0(R13)
	MOVL R9, 4(R13)
	MOVL R10, 8(R13)
	MOVL R11, 12(R13)
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ R14
	JNZ  loop
	RET

// One step of eight streams; w is the message word, t the code of the function for VPTERNLOG on
// (d, b, c).
#define STEP(a, b, c, d, w, k, t, s) \
	VPADDD.BCST k*4(AX), w, Y9 \
	VMOVDQA     d, Y8        \
	VPADDD      Y9, a, a     \
	VPTERNLOGD  $t, c, b, Y8 \
	VPADDD      Y8, a, a     \
	VPROLD      $s, a, a     \
	VPADDD      b, a, a

#define F8(a, b, c, d, w, k, s) STEP(a, b, c, d, w, k, 0xb8, s)
#define G8(a, b, c, d, w, k, s) STEP(a, b, c, d, w, k, 0xca, s)
#define H8(a, b, c, d, w, k, s) STEP(a, b, c, d, w, k, 0x96, s)
#define I8(a, b, c, d, w, k, s) STEP(a, b, c, d, w, k, 0x65, s)

// Four words of each of the eight streams, turned so that a register holds one word of all.
#define WORDS(off, w0, w1, w2, w3) \
	VMOVDQU     off(SI)(BX*1), X8                \
	VMOVDQU     off(DI)(BX*1), X9                \
	VMOVDQU     off(R8)(BX*1), X10               \
	VMOVDQU     off(R9)(BX*1), X11               \
	VINSERTI128 $1, off(R10)(BX*1), Y8, Y8       \
	VINSERTI128 $1, off(R11)(BX*1), Y9, Y9       \
	VINSERTI128 $1, off(R12)(BX*1), Y10, Y10     \
	VINSERTI128 $1, off(R13)(BX*1), Y11, Y11     \
	VPUNPCKLDQ  Y9, Y8, Y12                      \
	VPUNPCKHDQ  Y9, Y8, Y13                      \
	VPUNPCKLDQ  Y11, Y10, Y14                    \
	VPUNPCKHDQ  Y11, Y10, Y15                    \
	VPUNPCKLQDQ Y14, Y12, w0                     \
	VPUNPCKHQDQ Y14, Y12, w1                     \
	VPUNPCKLQDQ Y15, Y13, w2                     \
	VPUNPCKHQDQ Y15, Y13, w3

// func md5x8(s *[4][8]uint32, p *[8]*byte, blocks int)
TEXT ·md5x8(SB), NOSPLIT, $0-24
	MOVQ    s+0(FP), DX
	MOVQ    p+8(FP), AX
	MOVQ    blocks+16(FP), CX
	MOVQ    0(AX), SI
	MOVQ    8(AX), DI
	MOVQ    16(AX), R8
	MOVQ    24(AX), R9
	MOVQ    32(AX), R10
	MOVQ    40(AX), R11
	MOVQ    48(AX), R12
	MOVQ    56(AX), R13
	LEAQ    md5k<>(SB), AX
	VMOVDQU 0(DX), Y0
	VMOVDQU 32(DX), Y1
	VMOVDQU 64(DX), Y2
	VMOVDQU 96(DX), Y3
	XORQ    BX, BX

loop:
	VMOVDQA Y0, Y4
	VMOVDQA Y1, Y5
	VMOVDQA Y2, Y6
	VMOVDQA Y3, Y7
	WORDS(0, Y16, Y17, Y18, Y19)
	WORDS(16, Y20, Y21, Y22, Y23)
	WORDS(32, Y24, Y25, Y26, Y27)
	WORDS(48, Y28, Y29, Y30, Y31)

	F8(Y0, Y1, Y2, Y3, Y16, 0, 7)
	F8(Y3, Y0, Y1, Y2, Y17, 1, 12)
	F8(Y2, Y3, Y0, Y1, Y18, 2, 17)
	F8(Y1, Y2, Y3, Y0, Y19, 3, 22)
	F8(Y0, Y1, Y2, Y3, Y20, 4, 7)
	F8(Y3, Y0, Y1, Y2, Y21, 5, 12)
	F8(Y2, Y3, Y0, Y1, Y22, 6, 17)
	F8(Y1, Y2, Y3, Y0, Y23, 7, 22)
	F8(Y0, Y1, Y2, Y3, Y24, 8, 7)
	F8(Y3, Y0, Y1, Y2, Y25, 9, 12)
	F8(Y2, Y3, Y0, Y1, Y26, 10, 17)
	F8(Y1, Y2, Y3, Y0, Y27, 11, 22)
	F8(Y0, Y1, Y2, Y3, Y28, 12, 7)
	F8(Y3, Y0, Y1, Y2, Y29, 13, 12)
	F8(Y2, Y3, Y0, Y1, Y30, 14, 17)
	F8(Y1, Y2, Y3, Y0, Y31, 15, 22)
	G8(Y0, Y1, Y2, Y3, Y17, 16, 5)
	G8(Y3, Y0, Y1, Y2, Y22, 17, 9)
	G8(Y2, Y3, Y0, Y1, Y27, 18, 14)
	G8(Y1, Y2, Y3, Y0, Y16, 19, 20)
	G8(Y0, Y1, Y2, Y3, Y21, 20, 5)
	G8(Y3, Y0, Y1, Y2, Y26, 21, 9)
	G8(Y2, Y3, Y0, Y1, Y31, 22, 14)
	G8(Y1, Y2, Y3, Y0, Y20, 23, 20)
	G8(Y0, Y1, Y2, Y3, Y25, 24, 5)
	G8(Y3, Y0, Y1, Y2, Y30, 25, 9)
	G8(Y2, Y3, Y0, Y1, Y19, 26, 14)
	G8(Y1, Y2, Y3, Y0, Y24, 27, 20)
	G8(Y0, Y1, Y2, Y3, Y29, 28, 5)
	G8(Y3, Y0, Y1, Y2, Y18, 29, 9)
	G8(Y2, Y3, Y0, Y1, Y23, 30, 14)
	G8(Y1, Y2, Y3, Y0, Y28, 31, 20)
	H8(Y0, Y1, Y2, Y3, Y21, 32, 4)
	H8(Y3, Y0, Y1, Y2, Y24, 33, 11)
	H8(Y2, Y3, Y0, Y1, Y27, 34, 16)
	H8(Y1, Y2, Y3, Y0, Y30, 35, 23)
	H8(Y0, Y1, Y2, Y3, Y17, 36, 4)
	H8(Y3, Y0, Y1, Y2, Y20, 37, 11)
	H8(Y2, Y3, Y0, Y1, Y23, 38, 16)
	H8(Y1, Y2, Y3, Y0, Y26, 39, 23)
	H8(Y0, Y1, Y2, Y3, Y29, 40, 4)
	H8(Y3, Y0, Y1, Y2, Y16, 41, 11)
	H8(Y2, Y3, Y0, Y1, Y19, 42, 16)
	H8(Y1, Y2, Y3, Y0, Y22, 43, 23)
	H8(Y0, Y1, Y2, Y3, Y25, 44, 4)
	H8(Y3, Y0, Y1, Y2, Y28, 45, 11)
	H8(Y2, Y3, Y0, Y1, Y31, 46, 16)
	H8(Y1, Y2, Y3, Y0, Y18, 47, 23)
	I8(Y0, Y1, Y2, Y3, Y16, 48, 6)
	I8(Y3, Y0, Y1, Y2, Y23, 49, 10)
	I8(Y2, Y3, Y0, Y1, Y30, 50, 15)
	I8(Y1, Y2, Y3, Y0, Y21, 51, 21)
	I8(Y0, Y1, Y2, Y3, Y28, 52, 6)
	I8(Y3, Y0, Y1, Y2, Y19, 53, 10)
	I8(Y2, Y3, Y0, Y1, Y26, 54, 15)
	I8(Y1, Y2, Y3, Y0, Y17, 55, 21)
	I8(Y0, Y1, Y2, Y3, Y24, 56, 6)
	I8(Y3, Y0, Y1, Y2, Y31, 57, 10)
	I8(Y2, Y3, Y0, Y1, Y22, 58, 15)
	I8(Y1, Y2, Y3, Y0, Y29, 59, 21)
	I8(Y0, Y1, Y2, Y3, Y20, 60, 6)
	I8(Y3, Y0, Y1, Y2, Y27, 61, 10)
	I8(Y2, Y3, Y0, Y1, Y18, 62, 15)
	I8(Y1, Y2, Y3, Y0, Y25, 63, 21)

	VPADDD Y4, Y0, Y0
	VPADDD Y5, Y1, Y1
	VPADDD Y6, Y2, Y2
	VPADDD Y7, Y3, Y3
	ADDQ   $64, BX
	DECQ   CX
	JNZ    loop

	VMOVDQU Y0, 0(DX)
	VMOVDQU Y1, 32(DX)
	VMOVDQU Y2, 64(DX)
	VMOVDQU Y3, 96(DX)
	VZEROUPPER
	RET
