// Package postgres keeps sessions, grants and notifications in a PostgreSQL database, 14 or later, which
// several hosts may share (rule 14). Its tables lie in a schema of their own, so that a database may hold
// several stores.
package postgres
