import { Button, Group, Progress, Stack, Text } from "@mantine/core"

type Props = { percent: number; onCancel: () => void }

/** How much of a photo has been sent. */
export function UploadProgress({ percent, onCancel }: Props) {
  return (
    <Stack gap={4}>
      <Progress value={percent} aria-label="Upload" />
      <Group justify="space-between">
        <Text size="sm" c="dimmed">
          {percent < 100 ? `Sending the photo: ${percent} %` : "Saving the photo…"}
        </Text>
        <Button variant="subtle" size="compact-sm" onClick={onCancel}>
          Cancel
        </Button>
      </Group>
    </Stack>
  )
}
