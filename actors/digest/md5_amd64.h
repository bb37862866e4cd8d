// The steps of MD5 for two streams in step, one whose bytes are at SI, the other at DI. One stream's
// steps depend each on the one before, so that a core computes little more than one instruction a
// cycle; those of the other fill the gaps.

// One step of one stream: a = b + rol(a + f(b, c, d) + m + k, s).
// F = b&c | ^b&d = d ^ b&(c^d), G = b&d | c&^d, H = b^c^d, I = c ^ (b | ^d).
#define F(a, b, c, d, t, u, m, k, s) \
	MOVL c, t     \
	ADDL m, a     \
	XORL d, t     \
	ADDL $k, a    \
	ANDL b, t     \
	XORL d, t     \
	ADDL t, a     \
	ROLL $s, a    \
	ADDL b, a

#define G(a, b, c, d, t, u, m, k, s) \
	MOVL d, u     \
	ADDL m, a     \
	NOTL u        \
	ADDL $k, a    \
	ANDL c, u     \
	MOVL d, t     \
	ADDL u, a     \
	ANDL b, t     \
	ADDL t, a     \
	ROLL $s, a    \
	ADDL b, a

#define H(a, b, c, d, t, u, m, k, s) \
	MOVL c, t     \
	ADDL m, a     \
	XORL d, t     \
	ADDL $k, a    \
	XORL b, t     \
	ADDL t, a     \
	ROLL $s, a    \
	ADDL b, a

#define I(a, b, c, d, t, u, m, k, s) \
	MOVL d, t     \
	ADDL m, a     \
	NOTL t        \
	ADDL $k, a    \
	ORL  b, t     \
	XORL c, t     \
	ADDL t, a     \
	ROLL $s, a    \
	ADDL b, a

#define F2(a, b, c, d, e, f, g, h, off, k, s) \
	F(a, b, c, d, R12, R13, off(SI), k, s) \
	F(e, f, g, h, R14, R15, off(DI), k, s)

#define G2(a, b, c, d, e, f, g, h, off, k, s) \
	G(a, b, c, d, R12, R13, off(SI), k, s) \
	G(e, f, g, h, R14, R15, off(DI), k, s)

#define H2(a, b, c, d, e, f, g, h, off, k, s) \
	H(a, b, c, d, R12, R13, off(SI), k, s) \
	H(e, f, g, h, R14, R15, off(DI), k, s)

#define I2(a, b, c, d, e, f, g, h, off, k, s) \
	I(a, b, c, d, R12, R13, off(SI), k, s) \
	I(e, f, g, h, R14, R15, off(DI), k, s)
