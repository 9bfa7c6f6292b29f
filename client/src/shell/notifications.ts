// A separate file, so that it can be loaded after the first paint.
export { Notifications as default } from "@mantine/notifications"
