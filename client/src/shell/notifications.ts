// In a file of its own, so that it can come later than the first view.
export { Notifications as default } from "@mantine/notifications"
