// Package postgres is the storage engine on PostgreSQL 14 or later, for a store that several hosts may share
// (rule 14). Each store has its own schema, so a database may hold several stores.
package postgres
