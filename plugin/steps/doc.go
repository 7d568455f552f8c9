// Package steps implements the steps that all engines share within one transaction: it reads rows, lets
// package rules decide, and writes rows. An engine provides its transaction as Rows, EndingRows and JobRows;
// the encoding of rows, their indexes and locks are up to the engine.
package steps
