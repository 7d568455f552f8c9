package admin

// MountRoutes mounts the routes of a Config, whose Operations tests write themselves.
var MountRoutes = mountRoutes
