// Package steps is what every engine does step by step in one transaction: it reads rows, has package rules
// decide, and writes rows. An engine shows its transaction as Rows; how a row lies on the disk, which index
// leads to it and what locks it is the engine's.
package steps
