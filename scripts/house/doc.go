// Package house holds no code: its test checks the rules of the house that no linter knows: what may lie
// in the root, the size of files and functions, package comments, the direction of imports.
package house
