//go:build !amd64 || purego

package digest

func md5Kernels() kernels { return kernels{width: 1} }

func bothKernels() kernels { return kernels{width: 1} }
