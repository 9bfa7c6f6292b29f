import { Progress, Stack, Text } from "@mantine/core"

/** How much of a photo has been sent. */
export function UploadProgress({ percent }: { percent: number }) {
  return (
    <Stack gap={4}>
      <Progress value={percent} aria-label="Upload" />
      <Text size="sm" c="dimmed">
        {percent < 100 ? `Sending the photo: ${percent} %` : "Saving the photo…"}
      </Text>
    </Stack>
  )
}
