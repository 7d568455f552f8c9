// Package kills has the cases of what a backend tells of its commits that kill (rule 15).
package kills
