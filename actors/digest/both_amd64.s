//go:build !purego

#include "textflag.h"
#include "md5_amd64.h"

DATA sha256k<>+0x00(SB)/8, $0x71374491428a2f98
DATA sha256k<>+0x08(SB)/8, $0xe9b5dba5b5c0fbcf
DATA sha256k<>+0x10(SB)/8, $0x59f111f13956c25b
DATA sha256k<>+0x18(SB)/8, $0xab1c5ed5923f82a4
DATA sha256k<>+0x20(SB)/8, $0x12835b01d807aa98
DATA sha256k<>+0x28(SB)/8, $0x550c7dc3243185be
DATA sha256k<>+0x30(SB)/8, $0x80deb1fe72be5d74
DATA sha256k<>+0x38(SB)/8, $0xc19bf1749bdc06a7
DATA sha256k<>+0x40(SB)/8, $0xefbe4786e49b69c1
DATA sha256k<>+0x48(SB)/8, $0x240ca1cc0fc19dc6
DATA sha256k<>+0x50(SB)/8, $0x4a7484aa2de92c6f
DATA sha256k<>+0x58(SB)/8, $0x76f988da5cb0a9dc
DATA sha256k<>+0x60(SB)/8, $0xa831c66d983e5152
DATA sha256k<>+0x68(SB)/8, $0xbf597fc7b00327c8
DATA sha256k<>+0x70(SB)/8, $0xd5a79147c6e00bf3
DATA sha256k<>+0x78(SB)/8, $0x1429296706ca6351
DATA sha256k<>+0x80(SB)/8, $0x2e1b213827b70a85
DATA sha256k<>+0x88(SB)/8, $0x53380d134d2c6dfc
DATA sha256k<>+0x90(SB)/8, $0x766a0abb650a7354
DATA sha256k<>+0x98(SB)/8, $0x92722c8581c2c92e
DATA sha256k<>+0xa0(SB)/8, $0xa81a664ba2bfe8a1
DATA sha256k<>+0xa8(SB)/8, $0xc76c51a3c24b8b70
DATA sha256k<>+0xb0(SB)/8, $0xd6990624d192e819
DATA sha256k<>+0xb8(SB)/8, $0x106aa070f40e3585
DATA sha256k<>+0xc0(SB)/8, $0x1e376c0819a4c116
DATA sha256k<>+0xc8(SB)/8, $0x34b0bcb52748774c
DATA sha256k<>+0xd0(SB)/8, $0x4ed8aa4a391c0cb3
DATA sha256k<>+0xd8(SB)/8, $0x682e6ff35b9cca4f
DATA sha256k<>+0xe0(SB)/8, $0x78a5636f748f82ee
DATA sha256k<>+0xe8(SB)/8, $0x8cc7020884c87814
DATA sha256k<>+0xf0(SB)/8, $0xa4506ceb90befffa
DATA sha256k<>+0xf8(SB)/8, $0xc67178f2bef9a3f7
GLOBL sha256k<>(SB), RODATA|NOPTR, $256

DATA swap<>+0x00(SB)/8, $0x0405060700010203
DATA swap<>+0x08(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $16


// Four rounds of one stream with the message words m and the constants from k on; x and y hold the
// state as ABEF and CDGH.
#define ROUNDS(k, m, x, y) \
	MOVOU       sha256k<>+k*4(SB), X0\
	PADDD       m, X0        \
	SHA256RNDS2 X0, x, y     \
	PSHUFD      $0x0e, X0, X0 \
	SHA256RNDS2 X0, y, x

// The next four message words, in place of the oldest, m0.
#define NEXT(m0, m1, m2, m3) \
	SHA256MSG1 m1, m0     \
	MOVO       m3, X13    \
	PALIGNR    $4, m2, X13 \
	PADDD      X13, m0    \
	SHA256MSG2 m3, m0

#define READ(p, m0, m1, m2, m3) \
	MOVOU  0(p), m0  \
	MOVOU  16(p), m1 \
	MOVOU  32(p), m2 \
	MOVOU  48(p), m3 \
	PSHUFB X15, m0   \
	PSHUFB X15, m1   \
	PSHUFB X15, m2   \
	PSHUFB X15, m3

// From the order of the standard to ABEF and CDGH, and back.
#define LOAD(s, x, y) \
	MOVOU   0(s), x        \
	MOVOU   16(s), y       \
	PSHUFD  $0xb1, x, x    \
	PSHUFD  $0x1b, y, y    \
	MOVO    x, X0          \
	PALIGNR $8, y, x       \
	PBLENDW $0xf0, X0, y

#define STORE(s, x, y) \
	PSHUFD  $0x1b, x, x    \
	PSHUFD  $0xb1, y, y    \
	MOVO    x, X0          \
	PBLENDW $0xf0, y, x    \
	PALIGNR $8, X0, y      \
	MOVOU   x, 0(s)        \
	MOVOU   y, 16(s)

#define ROUNDS2(k, m, n) \
	ROUNDS(k, m, X1, X2) \
	ROUNDS(k, n, X3, X4)

#define NEXT2(m0, m1, m2, m3, n0, n1, n2, n3) \
	NEXT(m0, m1, m2, m3) \
	NEXT(n0, n1, n2, n3)

// func bothx2(m0, m1, s0, s1 *state, p0, p1 *byte, blocks int)
//
// MD5 keeps the integer units of a core busy, SHA-256 the vector units, and neither fills the time
// it takes: after each four steps of MD5 stand four rounds of SHA-256.
TEXT ·bothx2(SB), NOSPLIT, $72-56
	MOVQ  s0+16(FP), R12
	MOVQ  s1+24(FP), R13
	MOVOU swap<>(SB), X15
	LOAD(R12, X1, X2)
	LOAD(R13, X3, X4)
	MOVQ  m0+0(FP), R12
	MOVQ  m1+8(FP), R13
	MOVQ  p0+32(FP), SI
	MOVQ  p1+40(FP), DI
	MOVQ  blocks+48(FP), R14
	MOVL 0(R12), AX
	MOVL 4(R12), BX
	MOVL 8(R12), CX
	MOVL 12(R12), DX
	MOVL 0(R13), R8
	MOVL 4(R13), R9
	MOVL 8(R13), R10
	MOVL 12(R13), R11

loop:
	MOVQ  R14, left-8(SP)
	MOVOU X1, x1-24(SP)
	MOVOU X2, x2-40(SP)
	MOVOU X3, x3-56(SP)
	MOVOU X4, x4-72(SP)
	READ(SI, X5, X6, X7, X8)
	READ(DI, X9, X10, X11, X12)

	F2(AX, BX, CX, DX, R8, R9, R10, R11, 0, 0xd76aa478, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 4, 0xe8c7b756, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 8, 0x242070db, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 12, 0xc1bdceee, 22)
	ROUNDS2(0, X5, X9)
	F2(AX, BX, CX, DX, R8, R9, R10, R11, 16, 0xf57c0faf, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 20, 0x4787c62a, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 24, 0xa8304613, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 28, 0xfd469501, 22)
	ROUNDS2(4, X6, X10)
	F2(AX, BX, CX, DX, R8, R9, R10, R11, 32, 0x698098d8, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 36, 0x8b44f7af, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 40, 0xffff5bb1, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 44, 0x895cd7be, 22)
	ROUNDS2(8, X7, X11)
	F2(AX, BX, CX, DX, R8, R9, R10, R11, 48, 0x6b901122, 7)
	F2(DX, AX, BX, CX, R11, R8, R9, R10, 52, 0xfd987193, 12)
	F2(CX, DX, AX, BX, R10, R11, R8, R9, 56, 0xa679438e, 17)
	F2(BX, CX, DX, AX, R9, R10, R11, R8, 60, 0x49b40821, 22)
	ROUNDS2(12, X8, X12)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 4, 0xf61e2562, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 24, 0xc040b340, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 44, 0x265e5a51, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 0, 0xe9b6c7aa, 20)
	NEXT2(X5, X6, X7, X8, X9, X10, X11, X12)
	ROUNDS2(16, X5, X9)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 20, 0xd62f105d, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 40, 0x02441453, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 60, 0xd8a1e681, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 16, 0xe7d3fbc8, 20)
	NEXT2(X6, X7, X8, X5, X10, X11, X12, X9)
	ROUNDS2(20, X6, X10)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 36, 0x21e1cde6, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 56, 0xc33707d6, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 12, 0xf4d50d87, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 32, 0x455a14ed, 20)
	NEXT2(X7, X8, X5, X6, X11, X12, X9, X10)
	ROUNDS2(24, X7, X11)
	G2(AX, BX, CX, DX, R8, R9, R10, R11, 52, 0xa9e3e905, 5)
	G2(DX, AX, BX, CX, R11, R8, R9, R10, 8, 0xfcefa3f8, 9)
	G2(CX, DX, AX, BX, R10, R11, R8, R9, 28, 0x676f02d9, 14)
	G2(BX, CX, DX, AX, R9, R10, R11, R8, 48, 0x8d2a4c8a, 20)
	NEXT2(X8, X5, X6, X7, X12, X9, X10, X11)
	ROUNDS2(28, X8, X12)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 20, 0xfffa3942, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 32, 0x8771f681, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 44, 0x6d9d6122, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 56, 0xfde5380c, 23)
	NEXT2(X5, X6, X7, X8, X9, X10, X11, X12)
	ROUNDS2(32, X5, X9)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 4, 0xa4beea44, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 16, 0x4bdecfa9, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 28, 0xf6bb4b60, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 40, 0xbebfbc70, 23)
	NEXT2(X6, X7, X8, X5, X10, X11, X12, X9)
	ROUNDS2(36, X6, X10)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 52, 0x289b7ec6, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 0, 0xeaa127fa, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 12, 0xd4ef3085, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 24, 0x04881d05, 23)
	NEXT2(X7, X8, X5, X6, X11, X12, X9, X10)
	ROUNDS2(40, X7, X11)
	H2(AX, BX, CX, DX, R8, R9, R10, R11, 36, 0xd9d4d039, 4)
	H2(DX, AX, BX, CX, R11, R8, R9, R10, 48, 0xe6db99e5, 11)
	H2(CX, DX, AX, BX, R10, R11, R8, R9, 60, 0x1fa27cf8, 16)
	H2(BX, CX, DX, AX, R9, R10, R11, R8, 8, 0xc4ac5665, 23)
	NEXT2(X8, X5, X6, X7, X12, X9, X10, X11)
	ROUNDS2(44, X8, X12)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 0, 0xf4292244, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 28, 0x432aff97, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 56, 0xab9423a7, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 20, 0xfc93a039, 21)
	NEXT2(X5, X6, X7, X8, X9, X10, X11, X12)
	ROUNDS2(48, X5, X9)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 48, 0x655b59c3, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 12, 0x8f0ccc92, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 40, 0xffeff47d, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 4, 0x85845dd1, 21)
	NEXT2(X6, X7, X8, X5, X10, X11, X12, X9)
	ROUNDS2(52, X6, X10)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 32, 0x6fa87e4f, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 60, 0xfe2ce6e0, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 24, 0xa3014314, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 52, 0x4e0811a1, 21)
	NEXT2(X7, X8, X5, X6, X11, X12, X9, X10)
	ROUNDS2(56, X7, X11)
	I2(AX, BX, CX, DX, R8, R9, R10, R11, 16, 0xf7537e82, 6)
	I2(DX, AX, BX, CX, R11, R8, R9, R10, 44, 0xbd3af235, 10)
	I2(CX, DX, AX, BX, R10, R11, R8, R9, 8, 0x2ad7d2bb, 15)
	I2(BX, CX, DX, AX, R9, R10, R11, R8, 36, 0xeb86d391, 21)
	NEXT2(X8, X5, X6, X7, X12, X9, X10, X11)
	ROUNDS2(60, X8, X12)

	MOVOU x1-24(SP), X0
	PADDD X0, X1
	MOVOU x2-40(SP), X0
	PADDD X0, X2
	MOVOU x3-56(SP), X0
	PADDD X0, X3
	MOVOU x4-72(SP), X0
	PADDD X0, X4
	MOVQ  m0+0(FP), R12
	MOVQ  m1+8(FP), R13
	MOVQ  left-8(SP), R14
	ADDL  0(R12), AX
	ADDL  4(R12), BX
	ADDL  8(R12), CX
	ADDL  12(R12), DX
	ADDL  0(R13), R8
	ADDL  4(R13), R9
	ADDL  8(R13), R10
	ADDL  12(R13), R11
	MOVL  AX, 0(R12)
	MOVL  BX, 4(R12)
	MOVL  CX, 8(R12)
	MOVL  DX, 12(R12)
	MOVL  R8, 0(R13)
	MOVL  R9, 4(R13)
	MOVL  R10, 8(R13)
	MOVL  R11, 12(R13)
	ADDQ  $64, SI
	ADDQ  $64, DI
	DECQ  R14
	JNZ   loop

	MOVQ s0+16(FP), R12
	MOVQ s1+24(FP), R13
	STORE(R12, X1, X2)
	STORE(R13, X3, X4)
	RET
